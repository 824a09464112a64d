/* Does SQLite run here as on the host? argv[1] is a database (":memory:" or a file), standard input is SQL. */
#include <sqlite3.h>
#include <stdio.h>

static int show(void *unused, int columns, char **values, char **names)
{
    (void)unused, (void)names;
    for (int i = 0; i < columns; i++)
        printf("%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
    putchar('\n');
    return 0;
}

int main(int argc, char **argv)
{
    static char script[1 << 16];
    size_t length = fread(script, 1, sizeof script - 1, stdin);
    sqlite3 *database;
    char *message = NULL;
    script[length] = 0;
    if (argc < 2 || sqlite3_open(argv[1], &database)) {
        fprintf(stderr, "cannot open\n");
        return 2;
    }
    int result = sqlite3_exec(database, script, show, NULL, &message);
    if (result)
        fprintf(stderr, "error %d: %s\n", result, message);
    sqlite3_free(message);
    return sqlite3_close(database) ? 3 : result != 0;
}
