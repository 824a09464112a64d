/* Does the Lua interpreter run here as on the host? argv[1] is a script. */
#include <stdio.h>
#include <lua5.4/lauxlib.h>
#include <lua5.4/lua.h>
#include <lua5.4/lualib.h>

int main(int argc, char **argv)
{
    lua_State *state = luaL_newstate();
    luaL_openlibs(state);
    int failed = argc < 2 || luaL_dofile(state, argv[1]);
    if (failed)
        fprintf(stderr, "%s\n", argc < 2 ? "no script" : lua_tostring(state, -1));
    lua_close(state);
    return failed;
}
