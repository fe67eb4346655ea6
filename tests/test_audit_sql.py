"""What SQL text tightens or rewrites, and whose tables it drops."""

from __future__ import annotations

import pytest

from syzygy.audit.sql_effects import (
    changes_data,
    dropped_tables,
    effects,
    outside_transactions,
)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL", ["tightens a"]),
        ("alter table only app.a alter b drop default", ["tightens a"]),
        ('ALTER TABLE IF EXISTS "A" ADD CONSTRAINT c CHECK (x > 0)', ["tightens A"]),
        ("ALTER TABLE a ADD UNIQUE (b), ADD COLUMN c int", ["tightens a"]),
        ("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c (id)", ["tightens a"]),
        ("CREATE UNIQUE INDEX i ON a (b)", ["tightens a"]),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY s.a (b)", ["tightens a"]),
        ("ALTER TABLE a ADD COLUMN b int NOT NULL", ["tightens a"]),
        ("ALTER TABLE a ALTER b TYPE bigint", ["rewrites a"]),
        ("ALTER TABLE a ALTER COLUMN type SET DATA TYPE bigint", ["rewrites a"]),
        ("ALTER TABLE `a` MODIFY `b` bigint NULL", ["rewrites a"]),
        ("ALTER TABLE a MODIFY b int NOT NULL", ["rewrites a", "tightens a"]),
        ("ALTER TABLE a CHANGE b b int NOT NULL DEFAULT 0", ["rewrites a"]),
        (
            ["UPDATE a SET b = 1", ("ALTER TABLE a ADD CHECK (b > %s)", [0])],
            ["tightens a"],
        ),
        (
            "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint) THEN "
            "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0); END IF; END $$",
            ["tightens a"],
        ),
        (
            "DO LANGUAGE plpgsql $x$ BEGIN EXECUTE 'ALTER TABLE a ADD UNIQUE (b)'; END "
            "$x$; ALTER TABLE c ALTER d TYPE int",
            ["tightens a", "rewrites c"],
        ),
        # What tightens nothing
        (
            "CREATE FUNCTION f() RETURNS void AS $$ BEGIN "
            "ALTER TABLE a ADD UNIQUE (b); END $$ LANGUAGE plpgsql",
            [],
        ),
        ("DO $$ DO $x$ DO $y$ DO $z$ ALTER TABLE a ADD UNIQUE (b) $z$ $y$ $x$ $$", []),
        ("ALTER TABLE a ALTER COLUMN b DROP NOT NULL", []),
        ("ALTER TABLE a ALTER COLUMN b SET DEFAULT 1", []),
        ("ALTER TABLE a ALTER COLUMN type SET DEFAULT 1", []),
        ("ALTER TABLE a ALTER type SET DEFAULT 1", []),
        ("ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 0", []),
        ("ALTER TABLE a ADD b int GENERATED ALWAYS AS (c) STORED NOT NULL", []),
        ("CREATE INDEX i ON a (b)", []),
        ("CREATE TABLE a (b int NOT NULL UNIQUE)", []),
        ("CREATE TABLE IF NOT EXISTS a (b int); CREATE UNIQUE INDEX i ON a (b)", []),
        ("CREATE UNLOGGED TABLE a (b int); ALTER TABLE a ADD UNIQUE (b)", []),
        ("-- ALTER TABLE a ADD UNIQUE (b)", []),
        ("SELECT 'ALTER TABLE a ADD UNIQUE (b)'", []),
        ("ALTER TABLE", []),
        ("", []),
        (None, []),
        ([()], []),
    ],
    ids=str,
)
def test_effects(sql: object, found: list[str]) -> None:
    assert [f"{effect.kind} {effect.table}" for effect in effects(sql)] == found


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE a SET b = 1", True),
        ("CREATE INDEX i ON a (b); delete from a", True),
        ("WITH x AS (SELECT 1) INSERT INTO a SELECT * FROM x", True),
        ("ALTER TABLE a ADD b int", False),
        ("-- UPDATE a", False),
    ],
)
def test_data(sql: str, expected: bool) -> None:
    assert changes_data(sql) is expected


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON a (b); -- x", [True]),
        ("drop index concurrently i; DROP INDEX j", [False]),
        (["SELECT 1", ("REINDEX TABLE CONCURRENTLY a", None)], [True]),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", [True]),
        ("VACUUM ANALYZE a", [True]),
        ("SET lock_timeout = 1; CREATE INDEX CONCURRENTLY i ON a (b)", [False]),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY a", []),
        ("SELECT 'CREATE INDEX CONCURRENTLY'; -- VACUUM", []),
        ("CREATE INDEX i ON a (b)", []),
        ("-- VACUUM", []),
        (None, []),
    ],
)
def test_what_takes_no_transaction(sql: object, found: list[bool]) -> None:
    assert [is_alone for _, is_alone in outside_transactions(sql)] == found


def test_dropped_tables() -> None:
    sql = "DROP TABLE s.a; ALTER TABLE b DROP COLUMN c; ALTER TABLE s.d DROP e"
    assert list(dropped_tables(sql)) == ["a", "b", "d"]
