-- Strings, tables, closures, coroutines, errors, numbers, files, processes: everything printed is compared.
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print(fib(20), 2^53, 7 // 2, -7 % 3, 1e15, 0x7fffffffffffffff + 1, math.pi)

local words = {}
for word in ("the quick brown fox jumps over the lazy dog the end"):gmatch("%a+") do
  words[word] = (words[word] or 0) + 1
end
local names = {}
for name in pairs(words) do names[#names + 1] = name end
table.sort(names, function(a, b) return words[a] ~= words[b] and words[a] > words[b] or words[a] == words[b] and a < b end)
print(names[1], words[names[1]], table.concat(names, ","))

local producer = coroutine.wrap(function() for i = 1, 5 do coroutine.yield(i * i) end end)
print(producer(), producer(), producer())
print(pcall(error, { code = 7 }), select(2, pcall(function() error("message") end)))
print(string.format("%5.2f|%-6s|%x|%q", 3.14159, "ab", 255, "a\nb"), ("x"):rep(3, "-"), utf8.char(8364))

local file = assert(io.open("out.txt", "w"))
for i = 1, 1000 do file:write(i, "\n") end
file:close()
local sum = 0
for line in io.lines("out.txt") do sum = sum + line end
print(sum, os.rename("out.txt", "renamed.txt"), io.open("missing"))
local set = setmetatable({}, { __gc = function() print("collected") end, __len = function() return 42 end })
print(#set, os.getenv("CR3LAB"), os.time({ year = 2024, month = 1, day = 1, hour = 12 }) > 0)
set = nil
collectgarbage()
local big = {}
for i = 1, 50000 do big[i] = { i, tostring(i) } end
print(#big, big[777][2])
os.exit(5, true)
