"""Reading SQL text: real SQL of all vendors, and what must hold for any text."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syzygy.sql import (
    Action,
    ObjectType,
    SchemaChange,
    makes_anything,
    schema_changes,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def found(sql: object) -> list[str]:
    """The changes of `sql`, as in "drop column table.column"."""
    return [
        f"{change.action} {change.object_type} {change.name}"
        for change in schema_changes(sql)
    ]


def table(*rows: tuple[object, str]) -> pytest.MarkDecorator:
    """Parametrize with rows of text and the changes in it, `;` between them."""
    return pytest.mark.parametrize(
        ("sql", "expected"),
        [pytest.param(sql, expected, id=str(sql)[:70]) for sql, expected in rows],
    )


def changes(expected: str) -> list[str]:
    return [change.strip() for change in expected.split(";")] if expected else []


def test_a_change_says_what_happens_to_what() -> None:
    assert schema_changes('ALTER TABLE "blog_post" DROP COLUMN "title" CASCADE') == (
        SchemaChange(Action.DROP, ObjectType.COLUMN, "blog_post.title"),
    )
    assert schema_changes("RENAME TABLE a TO b")[0].action == "rename"


@table(
    ("DROP TABLE blog_post", "drop table blog_post"),
    ("drop table blog_post;", "drop table blog_post"),
    ("dRoP\tTaBlE\r\n  blog_post\n;\n", "drop table blog_post"),
    ("DROP TABLE IF EXISTS blog_post CASCADE;", "drop table blog_post"),
    ("DROP TABLE a, b , c RESTRICT", "drop table a; drop table b; drop table c"),
    ('DROP TABLE IF EXISTS a, "b" CASCADE', "drop table a; drop table b"),
    ("DROP TABLES a, b", "drop table a; drop table b"),
    ("DROP FOREIGN TABLE legacy", "drop table legacy"),
    ("DROP FOREIGN TABLE IF EXISTS legacy", "drop table legacy"),
    ("DROP TABLE a NOWAIT", "drop table a"),
    ("DROP TABLE IF EXISTS a WAIT 5", "drop table a"),
    ("DROP TABLE t PURGE", "drop table t"),
    ("DROP SCHEMA reports CASCADE", "drop table reports"),
    ("DROP SCHEMA IF EXISTS a, b", "drop table a; drop table b"),
    ("DROP DATABASE IF EXISTS archive", "drop table archive"),
    ("DROP TABLE a; DROP TABLE a", "drop table a"),
    ("DROP TABLE Kunde_ä; DROP TABLE 顧客", "drop table Kunde_ä; drop table 顧客"),
    ("DROP TABLE t$1, 2fast", "drop table t$1; drop table 2fast"),
    ("  \n DROP TABLE a )) garbage 'x", "drop table a"),
    ("DROP TEMPORARY TABLE scratch", ""),
    ("DROP TEMPORARY TABLE IF EXISTS scratch", ""),
    ("DROP VIEW a", ""),
    ("DROP MATERIALIZED VIEW a", ""),
    ("DROP INDEX CONCURRENTLY IF EXISTS a", ""),
    ("DROP INDEX `i` ON `drop_table`", ""),
    ("DROP SEQUENCE s", ""),
    ("DROP FUNCTION IF EXISTS f(integer)", ""),
    ("DROP PROCEDURE p", ""),
    ("DROP TYPE mood CASCADE", ""),
    ("DROP TRIGGER t ON blog_post", ""),
    ("DROP TABLESPACE space", ""),
    ("DROP EXTENSION hstore", ""),
    ("DROP USER app", ""),
    ("DROP FOREIGN DATA WRAPPER w", ""),
    ("TRUNCATE TABLE a", ""),
    ("DELETE FROM a", ""),
    ("DROP", ""),
    ("DROP TABLE", ""),
    ("DROP TABLE IF EXISTS ;", ""),
    ("TABLE DROP x", ""),
    ("DROPTABLE x", ""),
    ("DROP_TABLE x", ""),
    ("SELECT drop, table FROM x", ""),
    ("SELECT 1 AS drop; SELECT 2", ""),
    ("INSERT INTO drop (a) VALUES (1) ON CONFLICT DO NOTHING", ""),
    ("GRANT DROP ON shop.* TO app", ""),
    ("CREATE TEMP TABLE t (a int) ON COMMIT DROP", ""),
    ("UPDATE t SET rename = change WHERE schema = 'drop table x'", ""),
)
def test_dropping_tables(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


@table(
    ("ALTER TABLE t DROP COLUMN c", "drop column t.c"),
    ("ALTER TABLE t DROP c", "drop column t.c"),
    ("alter table t drop c;", "drop column t.c"),
    ("ALTER TABLE IF EXISTS ONLY t DROP COLUMN IF EXISTS c CASCADE", "drop column t.c"),
    ("ALTER TABLE IF EXISTS t DROP IF EXISTS c", "drop column t.c"),
    ("ALTER TABLE t * DROP COLUMN c", "drop column t.c"),
    ("ALTER FOREIGN TABLE t DROP COLUMN c", "drop column t.c"),
    ("ALTER IGNORE TABLE t DROP COLUMN c", "drop column t.c"),
    ("ALTER ONLINE TABLE t NOWAIT DROP COLUMN c", "drop column t.c"),
    ("ALTER TABLE t WAIT 10 DROP COLUMN c", "drop column t.c"),
    ("ALTER TABLE t DROP a, DROP COLUMN b", "drop column t.a; drop column t.b"),
    (
        """
            ALTER TABLE t ADD x numeric(10, 2) DEFAULT round(1, 2), DROP COLUMN a,
            ADD CONSTRAINT k CHECK (x IN (1, 2, drop)), DROP b
        """,
        "drop column t.a; drop column t.b",
    ),
    ("ALTER TABLE t DROP COLUMN a, ALGORITHM=INPLACE, LOCK=NONE", "drop column t.a"),
    ("ALTER TABLE t DROP COLUMN a, FORCE", "drop column t.a"),
    ("ALTER TABLE t DROP COLUMN a, `FORCE`", "drop column t.a; drop column t.FORCE"),
    ("ALTER TABLE t DROP COLUMN a, b", "drop column t.a; drop column t.b"),
    ("ALTER TABLE t DROP COLUMN a, COLUMN b", "drop column t.a; drop column t.b"),
    ("ALTER TABLE t DROP CONSTRAINT a, b", ""),
    ("ALTER TABLE t DROP (a, b)", "drop column t.a; drop column t.b"),
    ("ALTER TABLE t DROP COLUMN (a, b)", "drop column t.a; drop column t.b"),
    ("ALTER TABLE t ALTER COLUMN c DROP NOT NULL", ""),
    ("ALTER TABLE t ALTER c DROP DEFAULT, ALTER d DROP IDENTITY IF EXISTS", ""),
    ("ALTER TABLE t ALTER COLUMN c DROP EXPRESSION", ""),
    ("ALTER TABLE t ALTER c DROP NOT NULL, DROP d", "drop column t.d"),
    ("ALTER TABLE t DROP CONSTRAINT k", ""),
    ("ALTER TABLE t DROP CONSTRAINT IF EXISTS k", ""),
    ("ALTER TABLE t DROP INDEX i, DROP KEY j, DROP PRIMARY KEY", ""),
    ("ALTER TABLE t DROP FOREIGN KEY k, DROP CHECK c", ""),
    ("ALTER TABLE t DROP FOREIGN KEY `k`, DROP COLUMN c", "drop column t.c"),
    ("ALTER TABLE t DROP INDEX `i`", ""),
    ("ALTER TABLE t DROP PARTITION p0, p1", ""),
    ("ALTER TABLE t DROP PARTITION (day = '2020-01-01')", ""),
    ("ALTER TABLE t DROP PERIOD FOR SYSTEM_TIME, DROP SYSTEM VERSIONING", ""),
    ("ALTER TABLE t DROP UNIQUE (c)", ""),
    ("ALTER TABLE t DROP CLUSTERING KEY", ""),
    # PostgreSQL reserves none of these.
    ("ALTER TABLE t DROP key", "drop column t.key"),
    (
        "ALTER TABLE t DROP index CASCADE, DROP b",
        "drop column t.index; drop column t.b",
    ),
    ("ALTER TABLE t DROP key RESTRICT", "drop column t.key"),
    ("ALTER TABLE t DROP COLUMN index", "drop column t.index"),
    ("ALTER TABLE t DROP IF EXISTS period", "drop column t.period"),
    ('ALTER TABLE t DROP "index"', "drop column t.index"),
    (
        "ALTER TABLE t DROP `primary` , DROP [check]",
        "drop column t.primary;drop column t.check",
    ),
    ("ALTER VIEW v DROP COLUMN c", ""),
    ("ALTER TYPE address DROP ATTRIBUTE city", ""),
    ("ALTER DOMAIN d DROP NOT NULL", ""),
    ("ALTER TABLE t ADD drop int", ""),
    ("ALTER TABLE t DISABLE TRIGGER drop_table", ""),
    ("ALTER TABLE t", ""),
    ("ALTER TABLE t DROP", ""),
    ("ALTER TABLE", ""),
    ("ALTER TABLE DROP", ""),
    ("ALTER TABLE t DROP,,", ""),
    # Of a column that the text itself adds, no release knows.
    ("ALTER TABLE t ADD COLUMN n serial; ALTER TABLE t DROP COLUMN n", ""),
    ("ALTER TABLE t ADD n int, DROP m; ALTER TABLE t DROP n", "drop column t.m"),
    # Perhaps it was there already.
    (
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS n int; ALTER TABLE t DROP n",
        "drop column t.n",
    ),
    # The new column need not be of the old one's type: someone has to look.
    (
        """
            ALTER TABLE t ADD n bigint; UPDATE t SET n = c; ALTER TABLE t DROP c;
            ALTER TABLE t RENAME n TO c
        """,
        "drop column t.c; rename column t.n",
    ),
)
def test_dropping_columns(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


@table(
    ("ALTER TABLE a RENAME TO b", "rename table a"),
    ("alter table if exists only a rename to b", "rename table a"),
    ("ALTER TABLE a RENAME AS b", "rename table a"),
    ("ALTER TABLE a RENAME = b", "rename table a"),
    ("ALTER TABLE a RENAME b", "rename table a"),
    ("ALTER TABLE a RENAME `index`", "rename table a"),
    ("ALTER TABLE a ADD c int, RENAME TO b, ADD d int", "rename table a"),
    ("ALTER TABLE s.a RENAME TO b", "rename table s.a"),
    ("ALTER TABLE a RENAME c TO d", "rename column a.c"),
    ("ALTER TABLE a RENAME COLUMN c TO d", "rename column a.c"),
    ("ALTER TABLE a RENAME COLUMN IF EXISTS c TO d", "rename column a.c"),
    ('ALTER TABLE a RENAME COLUMN "c" TO "d"', "rename column a.c"),
    (
        "ALTER TABLE a RENAME COLUMN c TO d, DROP e",
        "rename column a.c; drop column a.e",
    ),
    ("ALTER TABLE a RENAME key TO k", "rename column a.key"),
    ("ALTER TABLE a RENAME INDEX i TO j", ""),
    ("ALTER TABLE a RENAME INDEX `i` TO `j`, RENAME KEY k TO l", ""),
    ("ALTER TABLE a RENAME CONSTRAINT i TO j", ""),
    ('ALTER TABLE a RENAME CONSTRAINT "i" TO "j"', ""),
    ("ALTER TABLE a RENAME PARTITION p TO q", ""),
    ("ALTER TABLE a RENAME", ""),
    ("ALTER TABLE a RENAME TO", ""),
    ("RENAME TABLE a TO b", "rename table a"),
    ("RENAME TABLE a TO b, c TO d", "rename table a; rename table c"),
    ("RENAME TABLE IF EXISTS `a` WAIT 5 TO `b`", "rename table a"),
    ("RENAME TABLES a NOWAIT TO b", "rename table a"),
    ("RENAME TABLE shop.a TO old.a", "rename table shop.a"),
    ("RENAME USER a TO b", ""),
    ("RENAME TABLE a", ""),
    ("RENAME TABLE a TO", ""),
    ("ALTER TABLE a CHANGE c d int NOT NULL", "rename column a.c"),
    ("ALTER TABLE a CHANGE COLUMN `c` `d` varchar(10) AFTER e", "rename column a.c"),
    ("ALTER TABLE a CHANGE COLUMN IF EXISTS c d int", "rename column a.c"),
    ("ALTER TABLE a CHANGE c c bigint", ""),
    ("ALTER TABLE a CHANGE `c` C bigint", ""),
    ("ALTER TABLE a CHANGE c c decimal(9, 2), CHANGE e f int", "rename column a.e"),
    ("ALTER TABLE a CHANGE c", ""),
    ("ALTER TABLE a MODIFY c bigint", ""),
    ("ALTER TABLE a SET SCHEMA archive", "rename table a"),
    ("ALTER TABLE IF EXISTS public.a SET SCHEMA archive", "rename table public.a"),
    ("ALTER TABLE a SET (fillfactor = 70)", ""),
    ("SET SCHEMA 'archive'", ""),
    ("ALTER INDEX i RENAME TO j", ""),
    ("ALTER VIEW v RENAME TO w", ""),
    ("ALTER VIEW v RENAME COLUMN c TO d", ""),
    ("ALTER TYPE mood RENAME VALUE 'a' TO 'b'", ""),
    ("ALTER TYPE mood RENAME TO humour", ""),
    ("ALTER SEQUENCE s RENAME TO r", ""),
    ("ALTER FUNCTION f(int) RENAME TO g", ""),
    ("ALTER SESSION SET SCHEMA archive", ""),
    ("ALTER SYSTEM SET x = 'rename'", ""),
    ("EXEC sp_rename 't', 'u'", "rename table t"),
    ("EXEC sp_rename 'dbo.t.c', 'd', 'COLUMN';", "rename column dbo.t.c"),
    ("execute SP_RENAME N'[dbo].[t].[c]', N'd', N'column'", "rename column dbo.t.c"),
    ("EXEC sys.sp_rename 'dbo.t', 'u'", "rename table dbo.t"),
    ("EXEC [sys].[sp_rename] '[dbo].[my table]', 'u'", "rename table dbo.my table"),
    (
        "EXEC sp_rename @objname = 't.c', @newname = 'd', @objtype = 'COLUMN'",
        "rename column t.c",
    ),
    ("sp_rename 't', 'u', 'OBJECT'", "rename table t"),
    ("EXEC sp_rename 't.i', 'j', 'INDEX'", ""),
    ("EXEC sp_rename 't'", ""),
    ("EXEC sp_rename", ""),
    ("EXEC sp_help 'rename', 'b'", ""),
    ("EXEC", ""),
    # What counts is where it ends up.
    ("ALTER TABLE a RENAME TO b; ALTER TABLE b RENAME TO c", "rename table a"),
    ("ALTER TABLE a RENAME TO b; DROP TABLE b", "drop table a"),
    ("ALTER TABLE a RENAME TO b; ALTER TABLE b RENAME TO a", ""),
    ("ALTER TABLE a RENAME TO a", ""),
    ("RENAME TABLE a TO x, b TO a, x TO b", "rename table a; rename table b"),
    ("ALTER TABLE a RENAME TO b; DROP TABLE IF EXISTS a", "rename table a"),
)
def test_renaming(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


@table(
    ('DROP TABLE "blog_post"', "drop table blog_post"),
    ("DROP TABLE `blog_post`", "drop table blog_post"),
    ("DROP TABLE [blog_post]", "drop table blog_post"),
    ("DROP TABLE [blog_post],`a`", "drop table blog_post; drop table a"),
    ("DROP TABLE 'blog_post'", "drop table blog_post"),
    ('DROP TABLE "blog"."post", `s`.`t`', "drop table blog.post; drop table s.t"),
    ("DROP TABLE [dbo].[a], base..b", "drop table dbo.a; drop table base.b"),
    ("DROP TABLE public . blog_post", "drop table public.blog_post"),
    ('DROP TABLE "sche.ma"."ta.ble"', "drop table sche.ma.ta.ble"),
    (
        'DROP TABLE "a""b", `c``d`, [e]]f]',
        'drop table a"b;drop table c`d;drop table e]f',
    ),
    ('DROP TABLE "a, b", `c d`', "drop table a, b; drop table c d"),
    ("DROP TABLE \"it's\", `don't`", "drop table it's; drop table don't"),
    ('DROP TABLE "a -- b", "c /* d"', "drop table a -- b; drop table c /* d"),
    ('DROP TABLE "DROP TABLE x"', "drop table DROP TABLE x"),
    ('DROP "TABLE" x', ""),
    ('"DROP" TABLE x', ""),
    ("ALTER TABLE `s`.`t` DROP COLUMN `c`", "drop column s.t.c"),
    (
        "ALTER TABLE [dbo].[t] DROP COLUMN [a], [b c]",
        "drop column dbo.t.a;drop column dbo.t.b c",
    ),
    (
        "INSERT INTO t VALUES (ARRAY['a]', 'b'], ARRAY[['c'], ['d']]); DROP TABLE x",
        "drop table x",
    ),
    ("UPDATE t SET a = ARRAY [ 'x]', ''']' ]; DROP TABLE x", "drop table x"),
    ("UPDATE t SET a[1] = b[2], c = '{}'::text[]; DROP TABLE x", "drop table x"),
    ("UPDATE t SET a = ARRAY[[1,2],[3,4]]; DROP TABLE x", "drop table x"),
)
def test_names_in_the_quotes_of_all_vendors(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


@table(
    ("-- DROP TABLE x", ""),
    ("--DROP TABLE x\nDROP TABLE y", "drop table y"),
    ("-- it's a comment\nDROP TABLE y -- isn't it", "drop table y"),
    ("--\r\nDROP TABLE y", "drop table y"),
    ("SELECT 1 -- ; DROP TABLE x", ""),
    ("/* DROP TABLE x */", ""),
    ("/* a; DROP TABLE x; */ DROP TABLE y", "drop table y"),
    ("/* it's */ DROP TABLE y /* don't */", "drop table y"),
    ("DROP /* x */ TABLE/**/y/* z */, -- w\n z", "drop table y; drop table z"),
    ("DROP/**/TABLE/**/y", "drop table y"),
    ("/*** DROP TABLE x ***/ DROP TABLE y", "drop table y"),
    ("/*/ DROP TABLE x; /*/", ""),
    ("/*+ hint */ DROP TABLE y", "drop table y"),
    # PostgreSQL and SQL Server nest them, the others don't.
    ("/* a /* b */ DROP TABLE x; */ DROP TABLE y", "drop table y"),
    ("/* a /* b */ ; DROP TABLE x */", ""),
    ("/* see urls/*.py */ DROP TABLE x", "drop table x"),
    # MySQL and MariaDB execute these.
    ("/*!50001 DROP TABLE x */", "drop table x"),
    ("/*! DROP TABLE IF EXISTS x */;", "drop table x"),
    ("/*M!100100 DROP TABLE x */; DROP TABLE y", "drop table x; drop table y"),
    ("DROP /*!32312 TABLE IF EXISTS */ x, y", "drop table x; drop table y"),
    ("/*!40000 ALTER TABLE `t` DISABLE KEYS */; DROP TABLE y", "drop table y"),
    ("/*!50001 DROP /* old */ TABLE x */", "drop table x"),
    ("/*!50001 SELECT '*/; DROP TABLE x' */", ""),
    ("SELECT 2*/* DROP TABLE x */3; DROP TABLE y", "drop table y"),
    ("# DROP TABLE x", ""),
    ("#DROP TABLE x\nDROP TABLE y", "drop table y"),
    ("SELECT 1 # it's; DROP TABLE x\n; DROP TABLE y", "drop table y"),
    ("#----\n#====\nDROP TABLE y #> no", "drop table y"),
    # These are operators of PostgreSQL.
    ("UPDATE t SET a = b #- '{x}'; DROP TABLE y", "drop table y"),
    ("UPDATE t SET a = b #>> '{x}' , c = d #>'{e}'; DROP TABLE y", "drop table y"),
    ("UPDATE t SET a = a #= 'x=>1'::hstore; DROP TABLE y", "drop table y"),
    ("/*!50001 DROP TABLE x,y */", "drop table x; drop table y"),
    ("SELECT 'C:\\'; /* see urls/*.py */ DROP TABLE x", "drop table x"),
    # Nobody executes this.
    ("DROP TABLE x; /* DROP TABLE y", "drop table x"),
    ("DROP TABLE x; /* a /* DROP TABLE y */", "drop table x"),
    ("/*", ""),
    ("/* a /* b */ ; DROP TABLE x */ 'y", ""),
    ("*/ DROP TABLE x", ""),
    ("DROP TABLE x -", "drop table x"),
)
def test_comments(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


@table(
    ("SELECT 'DROP TABLE x'", ""),
    ("SELECT '; DROP TABLE x; '", ""),
    ("SELECT 'it''s; DROP TABLE x; '; DROP TABLE y", "drop table y"),
    ("SELECT ''; DROP TABLE y; SELECT ''", "drop table y"),
    ("SELECT ''''; DROP TABLE y; SELECT ''''", "drop table y"),
    ("SELECT '--'; DROP TABLE y", "drop table y"),
    ("SELECT '/*'; DROP TABLE y; SELECT '*/'", "drop table y"),
    ("SELECT '$$'; DROP TABLE y; SELECT '$$'", "drop table y"),
    ("SELECT 'a\n; DROP TABLE x;\nb'", ""),
    (r"SELECT E'it\'s; DROP TABLE x; '; DROP TABLE y", "drop table y"),
    (r"SELECT e'\\'; DROP TABLE y; SELECT E'\\'", "drop table y"),
    (r"SELECT E'a''b\'; DROP TABLE x'", ""),
    (r"SELECT name'\'; DROP TABLE y; SELECT 'a'", "drop table y"),
    # A standard string.
    (r"SELECT 'C:\'; DROP TABLE y; SELECT 'D:\'", "drop table y"),
    (r"""SELECT "a\"; DROP TABLE y; SELECT "b" """, "drop table y"),
    # One of MySQL.
    (r"SELECT 'it\'s; DROP TABLE x; '; DROP TABLE y", "drop table y"),
    (r"SELECT 'it\'s; DROP TABLE x; that\'s'; DROP TABLE y", "drop table y"),
    (r"SELECT 'a\'b', 'c\'; DROP TABLE x'", ""),
    (r'SELECT "say \"hi\"; DROP TABLE x; "; DROP TABLE y', "drop table y"),
    (r"SELECT 'a\\'; DROP TABLE y", "drop table y"),
    (r"SELECT '\\\'; DROP TABLE x'", ""),
    ('SELECT "it\'s; DROP TABLE x"; DROP TABLE y', "drop table y"),
    (
        "SELECT N'DROP TABLE x', B'1', X'1f', U&'d', _utf8'e'; DROP TABLE y",
        "drop table y",
    ),
    ("SELECT `a'b`; DROP TABLE y; SELECT `c'd`", "drop table y"),
    ("DROP TABLE x; SELECT 'DROP TABLE y", "drop table x"),
    ("SELECT 'a; DROP TABLE x", ""),
    ("SELECT E'a; DROP TABLE x", ""),
    ('SELECT "a; DROP TABLE x', ""),
    ("SELECT `a; DROP TABLE x", ""),
    ("DROP TABLE 'x", ""),
)
def test_strings(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


@table(
    ("SELECT $$DROP TABLE x$$", ""),
    ("SELECT $$; DROP TABLE x; $$; DROP TABLE y", "drop table y"),
    (
        "SELECT $a$; DROP TABLE x; $$ $b$ ; DROP TABLE x; $a$; DROP TABLE y",
        "drop table y",
    ),
    ("SELECT $$it's$$; DROP TABLE y", "drop table y"),
    ("SELECT ($$DROP TABLE x$$),$q$; DROP TABLE x;$q$; DROP TABLE y", "drop table y"),
    ("SELECT $1 + $2; DROP TABLE y", "drop table y"),
    ("SELECT a$$b; DROP TABLE y; SELECT a$$b", "drop table y"),
    ("SELECT $$; DROP TABLE x", ""),
    ("SELECT $é$; DROP TABLE x; $é$; DROP TABLE y", "drop table y"),
    (
        """
            CREATE FUNCTION f() RETURNS void AS $$ BEGIN DROP TABLE x; END $$
            LANGUAGE plpgsql; DROP TABLE y
        """,
        "drop table y",
    ),
    (
        """
            CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $body$ BEGIN
            EXECUTE 'DROP TABLE x'; END $body$
        """,
        "",
    ),
    # A body is executed at once if it is that of a DO.
    ("DO $$ BEGIN DROP TABLE x; END $$", "drop table x"),
    ("do $$begin drop table x; end$$;", "drop table x"),
    ("DO LANGUAGE plpgsql $$ BEGIN DROP TABLE x; END $$", "drop table x"),
    (
        "DO $b$ BEGIN DROP TABLE x; END $b$ LANGUAGE plpgsql; DROP TABLE y",
        "drop table x; drop table y",
    ),
    ("DO 'BEGIN DROP TABLE x; END'", "drop table x"),
    ("DO $$ BEGIN RAISE NOTICE 'DROP TABLE x'; END $$", ""),
    ("DO $$ BEGIN -- DROP TABLE x;\n PERFORM 1; END $$", ""),
    ("DO SLEEP(5), RELEASE_LOCK('DROP TABLE x')", ""),
    ("DO", ""),
    ('DO "DROP TABLE x"', ""),
    ("DO $$", ""),
    (
        """
        DO $$
        DECLARE
            r record;
        BEGIN
            IF EXISTS (SELECT 1 FROM pg_class WHERE relname = 'x') THEN
                ALTER TABLE x DROP COLUMN a;
            ELSIF true THEN DROP TABLE b;
            ELSE
                ALTER TABLE c RENAME TO d;
            END IF;
            FOR r IN SELECT 1 LOOP DROP TABLE e; END LOOP;
        EXCEPTION
            WHEN undefined_table THEN DROP TABLE f;
        END
        $$;
        """,
        "drop column x.a; drop table b; rename table c; drop table e; drop table f",
    ),
    ("DO $$ BEGIN EXECUTE 'ALTER TABLE t DROP COLUMN c'; END $$", "drop column t.c"),
    ("DO $$ BEGIN EXECUTE $q$DROP TABLE x$q$; END $$", "drop table x"),
    ("EXECUTE 'DROP TABLE a; SELECT ''b; DROP TABLE x'''", "drop table a"),
    (
        "DO $$ BEGIN EXECUTE format('DROP TABLE %I.%I', s, t); END $$",
        "drop table %I.%I",
    ),
    ("DO $$ BEGIN EXECUTE format('DROP TABLE %1$I', t); END $$", "drop table %1$I"),
    (
        "DO $$ BEGIN EXECUTE 'DROP TABLE IF EXISTS ' || quote_ident(t); END $$",
        "drop table %s",
    ),
    (
        """
            DO $$ BEGIN EXECUTE 'ALTER TABLE ' || r.name || ' DROP '
            || 'COLUMN ' || 'a' USING 1; END $$
        """,
        "drop column %s.a",
    ),
    ("EXECUTE IMMEDIATE 'DROP TABLE x'", "drop table x"),
    ("EXEC ('DROP TABLE x')", "drop table x"),
    ("EXEC sp_executesql N'DROP TABLE x'", "drop table x"),
    ("EXEC my_procedure 'DROP TABLE x'", ""),
    ("DO $$ BEGIN EXECUTE concat('DROP TABLE ', t); END $$", "drop table %s"),
    ("EXECUTE plan('DROP TABLE x')", ""),
    ("EXECUTE FORMAT", ""),
)
def test_dollar_quotes_and_executed_text(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


@table(
    (
        "BEGIN; DROP TABLE a; ALTER TABLE b DROP c; COMMIT;",
        "drop table a; drop column b.c",
    ),
    (";;DROP TABLE a;;;DROP TABLE b;;", "drop table a; drop table b"),
    ("BEGIN NOT ATOMIC DROP TABLE a; DROP TABLE b; END", "drop table a; drop table b"),
    ("BEGIN NOT ATOMIC WHILE a DO DROP TABLE b; END WHILE; END", "drop table b"),
    ("IF OBJECT_ID('a') IS NOT NULL DROP TABLE a", "drop table a"),
    (
        "IF EXISTS (SELECT 1) EXEC sp_rename 't', 'u' ELSE DROP TABLE a",
        "rename table t; drop table a",
    ),
    (
        "CREATE PROCEDURE p() BEGIN DELETE FROM a; DROP TABLE a; END; DROP TABLE b",
        "drop table b",
    ),
    (
        """
            CREATE DEFINER=`x`@`%` PROCEDURE p() BEGIN IF a THEN DROP TABLE a; END IF;
            CASE b WHEN 1 THEN DROP TABLE b; ELSE DROP TABLE c; END CASE;
            WHILE d DO DROP TABLE d; END WHILE; SELECT CASE WHEN 1 THEN 2 END;
            BEGIN DROP TABLE e; END; DROP TABLE f; END; DROP TABLE g
        """,
        "drop table g",
    ),
    ("CREATE PROCEDURE p() DROP TABLE a; DROP TABLE b", "drop table b"),
    (
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END; DROP TABLE c",
        "drop table c",
    ),
    (
        """
            CREATE TRIGGER t BEFORE UPDATE ON a FOR EACH ROW
            EXECUTE FUNCTION f('DROP TABLE x'); DROP TABLE c
        """,
        "drop table c",
    ),
    (
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DROP TABLE a; DROP TABLE b",
        "drop table b",
    ),
    (
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT 2; END; DROP TABLE b",
        "drop table b",
    ),
    (
        "CREATE TRIGGER t ON a AFTER INSERT AS BEGIN DELETE FROM a; DROP TABLE b; END",
        "",
    ),
    (
        "ALTER EVENT e DO BEGIN DROP TABLE a; DROP TABLE b; END; DROP TABLE c",
        "drop table c",
    ),
    (
        """
            CREATE PROCEDURE p() BEGIN
                LOOP DROP TABLE a; END LOOP;
                REPEAT DROP TABLE b; END REPEAT;
                FOR i IN 1..2 DO DROP TABLE c; END FOR;
                DROP TABLE d;
            END
        """,
        "",
    ),
    ("CREATE VIEW v AS SELECT event, begin FROM a; DROP TABLE b", "drop table b"),
    ("CREATE TYPE y AS (event int, begin int); DROP TABLE b", "drop table b"),
    ("CREATE INDEX i ON a (event, begin); DROP TABLE b", "drop table b"),
    ("'a' DROP TABLE x", ""),
    ("CREATE TABLE a (event int, begin int); DROP TABLE b", "drop table b"),
    ("CREATE FUNCTION f() BEGIN; DROP TABLE x", ""),
    ("CREATE FUNCTION f() END END; DROP TABLE b", "drop table b"),
    (
        "ALTER TABLE t ALTER c TYPE int USING CASE WHEN c THEN 1 ELSE 0 END, DROP d",
        "drop column t.d",
    ),
    (
        "CREATE RULE r AS ON DELETE TO a DO INSTEAD NOTHING; DROP TABLE a",
        "drop table a",
    ),
)
def test_several_statements(sql: str, expected: str) -> None:
    assert found(sql) == changes(expected)


REMAKE = """
    PRAGMA foreign_keys = OFF;
    BEGIN TRANSACTION;
    CREATE TABLE "new__post" ("id" integer PRIMARY KEY, "title" text NOT NULL);
    INSERT INTO "new__post" SELECT "id", coalesce("title", '') FROM "post";
    DROP TABLE "post";
    ALTER TABLE "new__post" RENAME TO "post";
    COMMIT;
"""


@table(
    ("CREATE TABLE x (a int); DROP TABLE x", ""),
    ("CREATE TEMP TABLE x AS SELECT 1; DROP TABLE x;", ""),
    ("CREATE TEMPORARY TABLE IF NOT EXISTS x (a int); DROP TABLE IF EXISTS x", ""),
    ("CREATE UNLOGGED TABLE s.x (a int); ALTER TABLE s.x RENAME TO y", ""),
    (
        "CREATE OR REPLACE TABLE x (a int, b int); ALTER TABLE x DROP a, RENAME b TO c",
        "",
    ),
    ("CREATE GLOBAL TEMPORARY TABLE x (a int); DROP TABLE x", ""),
    ("CREATE LOCAL TEMP TABLE x (a int); DROP TABLE x", ""),
    ("CREATE FOREIGN TABLE x (a int) SERVER s; DROP FOREIGN TABLE x", ""),
    ("CREATE VIRTUAL TABLE x USING fts5(a); DROP TABLE x", ""),
    ("CREATE TABLE s.x (a int); ALTER TABLE s.x SET SCHEMA r; DROP TABLE r.x", ""),
    ("CREATE TABLE x (a int); ALTER TABLE x SET SCHEMA s; DROP TABLE s.x", ""),
    ("CREATE TABLE x (a int); DROP TABLE y", "drop table y"),
    ("DROP TABLE x; CREATE TABLE y (a int)", "drop table x"),
    ("CREATE INDEX x ON y (a); DROP TABLE x", "drop table x"),
    ("CREATE VIEW x AS SELECT 1; DROP TABLE x", "drop table x"),
    # Only with quotes do capitals count.
    ("CREATE TABLE Users (a int); DROP TABLE users", ""),
    ('CREATE TABLE users (a int); DROP TABLE "users"', ""),
    ('CREATE TABLE "Users" (a int); DROP TABLE users', "drop table users"),
    # It may have been there already; to keep its columns matters then.
    ("CREATE TABLE IF NOT EXISTS x (a int); ALTER TABLE x DROP b", "drop column x.b"),
    ("ALTER TABLE x ADD key text; ALTER TABLE x DROP key", ""),
    # A table made anew, and what else happens to it.
    (REMAKE, ""),
    (REMAKE + 'ALTER TABLE "post" DROP "title"', "drop column post.title"),
    (REMAKE + 'DROP TABLE "post"', "drop table post"),
    (REMAKE + 'DROP TABLE "other"', "drop table other"),
    ("CREATE TABLE n (a int); DROP TABLE p", "drop table p"),
    ("CREATE TABLE n (a int); DROP TABLE p; ALTER TABLE n RENAME TO q", "drop table p"),
    (
        """
            ALTER TABLE p RENAME TO old; CREATE TABLE p (a int);
            INSERT INTO p SELECT a FROM old; DROP TABLE old
        """,
        "",
    ),
    ("CREATE TABLE n LIKE p; RENAME TABLE p TO o, n TO p; DROP TABLE o", ""),
    ("CREATE TABLE n (a int); DROP TABLE p; ALTER TABLE n RENAME AS p", ""),
    ("CREATE TABLE n (a int); DROP TABLE p; ALTER TABLE n RENAME = p", ""),
    ("CREATE TABLE s.n (a int); DROP TABLE s.p; ALTER TABLE s.n RENAME TO p", ""),
    ("CREATE TABLE s.n (a int); DROP TABLE r.p; RENAME TABLE s.n TO r.p", ""),
    ("CREATE TABLE n LIKE p; RENAME TABLE p TO o, n TO p", ""),
    ("ALTER TABLE s.p RENAME TO o; CREATE TABLE s.p (a int)", ""),
    # Written to be run again and again.
    ("DROP TABLE IF EXISTS x; CREATE TABLE x (a int)", ""),
    ("DROP TABLE IF EXISTS t; CREATE TABLE t (a int); DROP TABLE t", ""),
    # Here the table was there, and its rows are lost.
    ("DROP TABLE x; CREATE TABLE x (a int)", "drop table x"),
    (["CREATE TABLE x (a int)", ("DROP TABLE x", None)], ""),
)
def test_what_the_text_makes_itself(sql: object, expected: str) -> None:
    assert found(sql) == changes(expected)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE x (a int)", True),
        ("alter table x add column a int", True),
        (["SELECT 1", ("CREATE TABLE x (a int)", None)], True),
        ("DO $$ BEGIN CREATE TABLE x (a int); END $$", True),
        ("ALTER TABLE x ADD key text", True),
        ("ALTER TABLE x ADD index int NOT NULL DEFAULT 0", True),
        ("ALTER TABLE x ADD key varchar(20)", True),
        ("ALTER TABLE x ADD index numeric(10, 2) NOT NULL DEFAULT 0", True),
        # It may have been there already.
        ("CREATE TABLE IF NOT EXISTS x (a int)", False),
        ("ALTER TABLE x ADD COLUMN IF NOT EXISTS a int", False),
        # It is no table and no column.
        ("CREATE INDEX x ON y (a)", False),
        ("ALTER TABLE x ADD CONSTRAINT y CHECK (a > 0)", False),
        ("ALTER TABLE x ADD KEY (a), ADD INDEX y (a)", False),
        ("ALTER TABLE x ADD INDEX USING BTREE (a)", False),
        ("ALTER TABLE x ADD KEY y (a(10)), ADD KEY y (`1`)", False),
        ("ALTER TABLE x ADD INDEX IF NOT EXISTS y (a)", False),
        ("ALTER TABLE x ADD FULLTEXT INDEX y (a), ADD EXCLUDE (a WITH =)", False),
        ("INSERT INTO x VALUES ('CREATE TABLE y (a int)')", False),
        ("-- ALTER TABLE x ADD a int", False),
        ("UPDATE x SET a = 1", False),
        (None, False),
    ],
)
def test_whether_the_text_makes_anything(sql: object, expected: bool) -> None:
    assert makes_anything(sql) is expected


def test_sqlite_agrees_that_the_remake_keeps_the_table() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE post (id integer PRIMARY KEY, title text)")
    connection.executescript(REMAKE)
    assert connection.execute("SELECT id, title FROM post").fetchall() == []
    connection.close()


class Composed:
    """Psycopg's SQL object, as far as reading it goes."""

    def __repr__(self) -> str:
        return f"Composed({self.text!r})"

    def __init__(self, text: object) -> None:
        self.text = text

    def as_string(self, context: object) -> Any:
        if isinstance(self.text, Exception):
            raise self.text
        return self.text


@table(
    ("", ""),
    ([], ""),
    ((), ""),
    ([""], ""),
    (" \n\t ", ""),
    (["DROP TABLE a", "DROP TABLE b;"], "drop table a; drop table b"),
    (("DROP TABLE a", "DROP TABLE b"), "drop table a; drop table b"),
    ([("DROP TABLE a", None), ("DROP TABLE b", [])], "drop table a; drop table b"),
    ([["DROP TABLE a", []], "DROP TABLE b"], "drop table a; drop table b"),
    ([("INSERT INTO t VALUES (%s)", ["DROP TABLE x"])], ""),
    ([("UPDATE t SET a = %s WHERE b LIKE '%%'; DROP TABLE y", [1])], "drop table y"),
    ([("UPDATE t SET a = a %% 5, b = %(b)s; DROP TABLE y", {"b": 1})], "drop table y"),
    ([("DROP TABLE %s", ["x"])], "drop table %s"),
    # Each is text of its own: what one leaves open doesn't swallow the next.
    (
        ["SELECT 'a", "DROP TABLE x", "/* b", "DROP TABLE y"],
        "drop table x; drop table y",
    ),
    (["ALTER TABLE t", "DROP COLUMN c"], ""),
    # Django refuses these, and what it can't run changes nothing.
    (None, ""),
    (0, ""),
    (b"DROP TABLE x", ""),
    ({"DROP TABLE x"}, ""),
    ([("DROP TABLE x",)], ""),
    ([("DROP TABLE x", [], 1)], ""),
    ([(), [], None, 5, object, ["DROP TABLE x", None]], "drop table x"),
    ([[["DROP TABLE x", None], None]], ""),
    (Composed("DROP TABLE x"), "drop table x"),
    (
        [Composed("DROP TABLE x"), (Composed("DROP TABLE y"), None)],
        "drop table x; drop table y",
    ),
    ([Composed(TypeError("connection wanted")), "DROP TABLE y"], "drop table y"),
    (Composed(b"DROP TABLE x"), ""),
)
def test_whatever_run_sql_is_given(sql: object, expected: str) -> None:
    assert found(sql) == changes(expected)


def test_psycopg_objects() -> None:
    psycopg_sql = pytest.importorskip("psycopg.sql", reason="psycopg isn't installed")
    composed = psycopg_sql.SQL("ALTER TABLE {} DROP {}").format(
        psycopg_sql.Identifier("s", "t"), psycopg_sql.Identifier("c")
    )
    assert found(composed) == ["drop column s.t.c"]


# --- For any text ------------------------------------------------------------------

# Statements over names of their own, so that none undoes what another does; %d is to
# be replaced by a number. Quoted parts are tokens of their own.
STATEMENTS = [
    "DROP TABLE a%d",
    "DROP TABLE IF EXISTS a%d , b%d CASCADE",
    'DROP TABLE "A %d"',
    "ALTER TABLE IF EXISTS a%d DROP COLUMN c , DROP IF EXISTS `d`",
    "ALTER TABLE a%d ALTER COLUMN c DROP NOT NULL , DROP CONSTRAINT k",
    "ALTER TABLE s . a%d ADD x numeric ( 1 , 2 ) , DROP [e]",
    "ALTER TABLE a%d RENAME TO b%d",
    "ALTER TABLE a%d RENAME COLUMN c TO d",
    "ALTER TABLE a%d RENAME INDEX i TO j",
    "ALTER TABLE a%d CHANGE c d int",
    "ALTER TABLE a%d SET SCHEMA s",
    "RENAME TABLE a%d TO b%d , c%d TO d%d",
    "EXEC sp_rename 'a%d.c' , 'd' , 'COLUMN'",
    "CREATE TABLE a%d ( c int ) ; DROP TABLE a%d",
    "CREATE FUNCTION f ( ) BEGIN DROP TABLE a%d ; END",
    "DO $$ BEGIN DROP TABLE a%d; END $$",
    "INSERT INTO a%d VALUES ( 'DROP TABLE x' , $q$; DROP TABLE x;$q$ )",
    "SELECT 1",
]


def numbered(statements: list[str]) -> list[str]:
    return [text.replace("%d", str(i)) for i, text in enumerate(statements)]


scripts = st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=5).map(numbered)
gaps = st.sampled_from(
    [
        " ",
        "\n",
        "\t",
        "\r\n",
        "  ",
        "/**/",
        "/* DROP TABLE x; */",
        " -- it's; DROP TABLE x\n",
        "/* a /* b */ ; DROP TABLE x */",
        "# DROP TABLE x\n",
    ]
)
cases = st.sampled_from([str.upper, str.lower, str.title, str.swapcase])
# What is quoted may have spaces in it.
QUOTED = ("'", '"', "`", "$")


def tokens(statement: str) -> list[str]:
    words: list[str] = []
    for word in statement.split(" "):
        if words and words[-1][0] in QUOTED and not closed(words[-1]):
            words[-1] += " " + word
        else:
            words.append(word)
    return words


def closed(word: str) -> bool:
    quote = word[: word.index("$", 1) + 1] if word[0] == "$" else word[0]
    return word.endswith(quote) and len(word) >= 2 * len(quote)


@given(scripts)
def test_each_statement_adds_its_own(statements: list[str]) -> None:
    apart = [change for text in statements for change in found(text)]
    assert found("; ".join(statements)) == apart
    assert found(";\n".join(statements) + ";") == apart
    assert found(statements) == apart
    assert found(["BEGIN", *((text, None) for text in statements), "COMMIT"]) == apart
    assert found("BEGIN; " + " ;\t".join(statements) + "; COMMIT;") == apart


@given(scripts, st.data())
def test_gaps_and_case_change_nothing(
    statements: list[str], data: st.DataObject
) -> None:
    text = "; ".join(statements)
    rewritten = ""
    for token in tokens(" ; ".join(statements)):
        keyword = token.isalpha() and token.isupper()
        case = data.draw(cases) if keyword else str
        rewritten += data.draw(gaps) + case(token)
    assert found(rewritten + data.draw(gaps)) == found(text)


@pytest.mark.parametrize(
    ("before", "after", "double"),
    [
        ("/* ", " */", ""),
        ("/* /* */ ", " */", ""),
        ("SELECT '", "'", "'"),
        ("INSERT INTO t VALUES (E'", "')", "'"),
        ('SELECT "', '"', '"'),
        ("SELECT `", "`", "`"),
        ("SELECT $x$", "$x$", ""),
        ("SELECT $x$; ", " ;$x$", ""),
        ("CREATE FUNCTION f() AS $x$ ", " $x$", ""),
        ("CREATE PROCEDURE p() BEGIN ", "; END", ""),
    ],
)
@given(scripts)
def test_data_is_not_executed(
    before: str, after: str, double: str, statements: list[str]
) -> None:
    text = "; ".join(statements)
    text = text.replace(double, double * 2) if double else text
    assert found(before + text + after) == []
    assert found(f"DROP TABLE x; {before}{text}{after}; DROP TABLE y") == [
        "drop table x",
        "drop table y",
    ]


@given(scripts)
def test_a_line_comment_hides_its_line(statements: list[str]) -> None:
    text = "; ".join(statements)
    assert found(f"-- {text}") == found(f"# {text}") == []
    assert found(f"-- {text}\n{text}") == found(text)


@given(scripts)
def test_the_body_of_a_do_is_executed(statements: list[str]) -> None:
    text = "; ".join(statements)
    assert found(f"DO $x$ BEGIN {text}; END $x$") == found(text)


fragments = st.sampled_from(
    [word for text in numbered(STATEMENTS) for word in tokens(text)]
    + [
        "'",
        '"',
        "`",
        "[",
        "]",
        "$$",
        "$x$",
        "/*",
        "*/",
        "/*!",
        "--",
        "#",
        "\n",
        "\\",
        "(",
    ]
    + [")", ";", ",", ".", "%", "%s", "E'", "N'", "''", "BEGIN", "END", "CASE", "THEN"]
    + ["EXECUTE", "EXEC", "DO", "IF", "FORMAT", "||", "@", "sp_rename", "\0", "\ud800"]
)


@given(st.lists(fragments | st.text(max_size=5)), st.sampled_from(["", " "]))
def test_no_text_raises(words: list[str], between: str) -> None:
    text = between.join(words)
    for sql in (text, [text, (text, ())], f"DO $y${text}$y$", "DROP TABLE a; " + text):
        for change in schema_changes(sql):
            assert change.name


@given(st.recursive(st.none() | st.text() | st.integers() | st.binary(), st.lists))
def test_no_junk_raises(junk: object) -> None:
    assert schema_changes([junk, "DROP TABLE a"])[-1].name == "a"


# Each is a worst case for some way of reading; `n` is how often it repeats.
LONG: dict[str, Callable[[int], str]] = {
    "rows": lambda n: "INSERT INTO t VALUES " + "(1, 'drop table', NULL), " * n,
    "quotes": lambda n: "'" * n,
    "escaped quotes": lambda n: "\\'" * n,
    "open E strings": lambda n: "E'\\' " * n + "E",
    "double quotes": lambda n: '"\\" ' * n,
    "brackets": lambda n: "[" * n,
    "bracket names": lambda n: "[a" * n + "]]" * n,
    "comments": lambda n: "/*" * n,
    "comment ends": lambda n: "/*" * n + "*/" * n,
    "executed": lambda n: "/*!" * n,
    "dollars": lambda n: "".join(f" $a{i}$ " for i in range(n)),
    "nested do": lambda n: (
        "".join(f"DO $a{i}$ " for i in range(n))
        + "".join(f" $a{i}$" for i in reversed(range(n)))
    ),
    "one word": lambda n: "a" * n,
    "spaces": lambda n: "a" + " " * n,
    "hashes": lambda n: "#" * n,
    "percents": lambda n: "%(a" * n,
    "parentheses": lambda n: "ALTER TABLE t DROP (" * n,
    "commas": lambda n: "DROP TABLE a" + ", a" * n,
    "actions": lambda n: "ALTER TABLE a " + "DROP b, " * n,
    "dots": lambda n: "DROP TABLE a" + "." * n,
    "heads": lambda n: "IF " + "DROP " * n,
    "pieces": lambda n: "EXECUTE 'a'" + " || b || 'c'" * n,
    "statements": lambda n: ";" * n,
    "renames": lambda n: ";".join(
        f"ALTER TABLE a{i} RENAME TO a{i + 1}" for i in range(n)
    ),
}


def seconds(text: str) -> float:
    """Return the processor's time for reading `text`, other processes aside.

    What traces the tests, to measure their coverage, takes most of it else.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        start = time.process_time()
        schema_changes(text)
        return time.process_time() - start
    finally:
        sys.settrace(tracer)


@pytest.mark.parametrize("name", LONG)
def test_long_text_takes_linear_time(name: str) -> None:
    def text(size: int) -> str:
        repeat = LONG[name]
        return "DROP TABLE x; " + repeat(size * 10_000 // len(repeat(100)) * 100)

    # Eight times the text takes eight times as long; quadratic would be 64 times.
    # The best of a few tries is what counts: the machine has other things to do.
    short, long = text(1), text(8)
    assert len(long) > 7 * len(short)
    assert any(seconds(long) < 20 * seconds(short) for _ in range(5))


def test_text_that_cannot_matter_is_not_scanned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def scan(*args: object) -> None:
        raise AssertionError("it was scanned")

    monkeypatch.setattr("syzygy.sql.statements", scan)
    assert (
        schema_changes(["INSERT INTO t VALUES (1)", ("UPDATE t SET a = 1", [])]) == ()
    )
    with pytest.raises(AssertionError, match="scanned"):
        schema_changes(["SELECT 1", "Drop"])


def test_reading_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys\n"
        "from syzygy.sql import schema_changes\n"
        "assert schema_changes('DROP TABLE x')\n"
        "sys.exit(bool({'django', 'sqlparse'} & set(sys.modules)))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
