"""Lua and SQLite, linked statically: real interpreters and databases, with the host's kernel as the judge."""

from pathlib import Path

import pytest
from oracle_lab import Bench
from program_lab import NOT_NATIVE, compile_c, compiler_missing

HERE = Path(__file__).parent / "libraries"
INCLUDE = Path("/usr/include")

TABLES = """
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
CREATE INDEX by_name ON t(name);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 2000), i / 3.0 FROM n;
COMMIT;
SELECT count(*), sum(id), round(avg(value), 6), max(name) FROM t;
SELECT id, name FROM t WHERE name LIKE 'name 12_' ORDER BY name;
BEGIN; DELETE FROM t WHERE id % 2; ROLLBACK;
DELETE FROM t WHERE id % 3 = 0;
UPDATE t SET value = NULL WHERE id < 10;
SELECT count(*), count(value) FROM t;
SELECT group_concat(name, ',') FROM (SELECT name FROM t ORDER BY value DESC LIMIT 5);
VACUUM;
PRAGMA integrity_check;
"""
SCRIPTS = {
    "memory": (":memory:", TABLES),
    "file": ("test.db", TABLES),
    "wal": ("test.db", "PRAGMA journal_mode=WAL;" + TABLES + "PRAGMA wal_checkpoint(TRUNCATE);"),
    "mapped": ("test.db", "PRAGMA mmap_size=1000000;" + TABLES),
    "error": ("test.db", "CREATE TABLE t(a); SELECT nothing FROM t;"),
}

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The programs that can be built here, by name."""
    directory, found = tmp_path_factory.mktemp("libraries"), dict[str, Path]()
    if not compiler_missing("gcc"):
        if (INCLUDE / "lua5.4" / "lua.h").exists():
            found["lua"] = compile_c(HERE / "lua.c", directory / "lua", libraries=("-llua5.4", "-lm"))
        if (INCLUDE / "sqlite3.h").exists():
            found["sqlite"] = compile_c(HERE / "sqlite.c", directory / "sqlite", libraries=("-lsqlite3", "-lm"))
    return found


def _bench(programs: dict[str, Path], name: str, directory: Path, **tree: bytes) -> Bench:
    if name not in programs:
        pytest.skip(f"gcc and the static library of {name} are not installed")
    return Bench(directory, {name: programs[name]}, {key.replace("_", "."): data for key, data in tree.items()})


def test_a_lua_script_does_what_it_does_on_the_host(programs: dict[str, Path], tmp_path: Path) -> None:
    bench = _bench(programs, "lua", tmp_path, script_lua=(HERE / "script.lua").read_bytes())
    assert bench.agree(["lua", "script.lua"], forks=("classic",)).status == 5


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_database_is_the_same_to_the_byte(programs: dict[str, Path], tmp_path: Path, name: str) -> None:
    """In memory, in a file with a rollback journal, with a write-ahead log (shared memory), through a mapping."""
    database, script = SCRIPTS[name]
    bench = _bench(programs, "sqlite", tmp_path)
    left = bench.agree(["sqlite", database], stdin=script.encode(), forks=("classic",))
    assert left.status == (name == "error")
    assert name == "error" or left.stdout.endswith(b"ok\n") or name == "wal"
