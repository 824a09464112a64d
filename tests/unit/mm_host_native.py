"""Runs sequences of memory system calls natively, in a process of its own, and reports what came out as JSON.

Standard input: {"arena": address, "pages": n, "sequences": [[[name, arguments...], ...], ...]}.
Standard output: for each sequence a list of [result, map of the arena] and the content at the end.
See test_mm_host.py, which runs the same sequences on the memory core. Needs nothing but the standard library.
"""

import ctypes
import json
import os
import sys

PAGE = 4096
NUMBERS = {"mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "mincore": 27}
NUMBERS |= {"madvise": 28, "mlock": 149, "munlock": 150}
READ, WRITE, CLOSE, PWRITE, FTRUNCATE = 0, 1, 3, 18, 77

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *args: int) -> int:
    """The result, or -errno."""
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(a & (1 << 64) - 1) for a in args))
    return -ctypes.get_errno() if result == -1 else result


class Native:
    """One sequence: the arena, a file, a pipe for accesses that fail politely."""

    def __init__(self, arena: int, pages: int) -> None:
        self.arena, self.end = arena, arena + pages * PAGE
        syscall(NUMBERS["munmap"], arena - (1 << 20), pages * PAGE + (2 << 20))
        self.file = os.memfd_create("host")
        os.ftruncate(self.file, 6 * PAGE)
        self.inode = os.fstat(self.file).st_ino
        self.inodes: list[int] = []
        self.pipe = os.pipe()
        os.set_blocking(self.pipe[0], False)
        self.buffer = ctypes.create_string_buffer(256)

    def close(self) -> None:
        for fd in (self.file, *self.pipe):
            os.close(fd)

    def run(self, name: str, *args: int) -> object:
        special = getattr(self, "op_" + name, None)
        if special is not None:
            return special(*args)
        result = syscall(NUMBERS[name], *args)
        return self.place(result, args[1] if name == "mmap" else args[2]) if name in ("mmap", "mremap") else result

    def place(self, result: int, length: int) -> object:
        """An address the kernel chose outside the arena is only called that, and the mapping removed."""
        if result < 0 or self.arena <= result < self.end:
            return result
        syscall(NUMBERS["munmap"], result, length)
        return "elsewhere"

    def op_mmap(self, address: int, length: int, prot: int, flags: int, offset: int) -> object:
        fd = -1 if flags & 0x20 else self.file
        return self.place(syscall(NUMBERS["mmap"], address, length, prot, flags, fd, offset), length)

    def op_mincore(self, address: int, length: int) -> object:
        pages = -(-length // PAGE)
        result = syscall(NUMBERS["mincore"], address, length, ctypes.addressof(self.buffer))
        return result if result < 0 else [b & 1 for b in self.buffer.raw[:pages]]

    def op_write(self, address: int, value: int) -> object:
        """Eight bytes at the address, by read(2) from the pipe."""
        os.write(self.pipe[1], bytes([value]) * 8)
        result = syscall(READ, self.pipe[0], address, 8)
        if result != 8:
            os.read(self.pipe[0], 8)
        return result

    def op_read(self, address: int) -> object:
        """Eight bytes at the address, by write(2) into the pipe."""
        result = syscall(WRITE, self.pipe[1], address, 8)
        return result if result < 0 else os.read(self.pipe[0], 8).hex()

    def op_pwrite(self, offset: int, value: int) -> object:
        return os.pwrite(self.file, bytes([value]) * 8, offset)

    def op_ftruncate(self, size: int) -> object:
        return syscall(FTRUNCATE, self.file, size)

    def op_brk_set(self, delta: int) -> object:
        """brk(2), relative to the start of the arena."""
        return syscall(NUMBERS["brk"], self.arena + delta) - self.arena

    def areas(self) -> list[list[object]]:
        """[start, end, rights, backing, page offset] of every area in the arena."""
        out: list[list[object]] = []
        with open("/proc/self/maps", encoding="ascii") as maps:
            for line in maps:
                where, rights, offset, _device, inode, *_name = line.split()
                start, end = (int(x, 16) for x in where.split("-"))
                if start < self.end and end > self.arena:
                    skipped = max(0, self.arena - start)
                    backing = self.backing(int(inode))
                    index = (int(offset, 16) + skipped) // PAGE if backing else 0
                    out.append([start + skipped, min(end, self.end), rights, backing, index])
        return out

    def backing(self, inode: int) -> str:
        if inode in (0, self.inode):
            return "file" if inode else ""
        if inode not in self.inodes:
            self.inodes.append(inode)
        return f"shared {self.inodes.index(inode)}"


def main() -> None:
    job = json.load(sys.stdin)
    report = []
    for sequence in job["sequences"]:
        if job["arena"] == 0:  # the heap: whatever lies behind the break libc has by now
            arena = -(-syscall(NUMBERS["brk"], 0) // PAGE) * PAGE
            syscall(NUMBERS["brk"], arena)
        else:
            arena = job["arena"]
        native = Native(arena, job["pages"]) if job["arena"] else Heap(arena, job["pages"])
        steps = []
        for name, *args in sequence:
            result = native.run(name, *args)
            steps.append([result, native.areas()])
        content = [native.op_read(arena + n * PAGE) for n in range(job["pages"])]
        report.append({"steps": steps, "content": content})
        native.close()
    json.dump(report, sys.stdout)


class Heap(Native):
    """Addresses relative to the break at the start; nothing is mapped behind it yet."""

    def __init__(self, arena: int, pages: int) -> None:
        super().__init__(arena + (1 << 30), pages)  # the arena it clears is not the heap
        self.arena, self.end = arena, arena + pages * PAGE

    def run(self, name: str, *args: int) -> object:
        if name != "brk_set":
            args = (args[0] + self.arena, *args[1:])
        result = super().run(name, *args)
        return result - self.arena if name == "mmap" and isinstance(result, int) and result > 0 else result

    def areas(self) -> list[list[object]]:
        return [[start - self.arena, end - self.arena, *rest] for start, end, *rest in super().areas()]

    def close(self) -> None:
        syscall(NUMBERS["munmap"], self.arena, self.end - self.arena)
        syscall(NUMBERS["brk"], self.arena)
        super().close()


if __name__ == "__main__":
    main()
