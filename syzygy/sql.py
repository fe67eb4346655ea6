"""The one home for reading SQL text: which tables and columns it drops or renames."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING

from syzygy.sql_scanner import END, Token, Tokens, statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Action(StrEnum):
    """What a statement does to a table or a column."""

    DROP = "drop"
    RENAME = "rename"


class ObjectType(StrEnum):
    """What a statement does it to."""

    TABLE = "table"
    COLUMN = "column"


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A table or a column that SQL text drops or renames.

    `name` is what the text calls it, unquoted, with the schema if that is given; a
    column is "table.column". A schema or database that is dropped takes its tables
    along: it counts as a table. A name that is computed when the text runs is `%s`,
    or what the text has in its place, as `%I`.
    """

    action: Action
    object_type: ObjectType
    name: str


def schema_changes(sql: object) -> tuple[SchemaChange, ...]:
    """Return what `sql` drops or renames, of tables and columns, in order.

    `sql` is what Django's `RunSQL` takes: a string, or a list or tuple of strings and
    of `(sql, params)` pairs. Psycopg's SQL objects are read if they become text
    without a connection. Anything else changes nothing; no input raises.

    It is the net effect, as another release sees it: neither what the text itself
    creates counts, nor a table that it makes anew under the same name, as SQLite's
    way of altering a table does. A table dropped twice, or in each of two branches,
    is one change.
    """
    return tuple(_read(sql, ("drop", "rename", "change", "schema")).changes.values())


def makes_anything(sql: object) -> bool:
    """Whether `sql` makes a table that can't have been there, or adds a column."""
    reader = _read(sql, ("create", "add"))
    return _Fate.MADE in reader.tables.values() or bool(reader.columns_made)


def _read(sql: object, telltales: Iterable[str]) -> _Reader:
    """Follow it, unless it has none of the words without which it tells nothing."""
    reader = _Reader()
    texts = [_text(item) for item in (sql if isinstance(sql, list | tuple) else [sql])]
    if any(word in text.lower() for text in texts for word in telltales):
        for text in texts:
            reader.read(text)
    return reader


def _text(item: object) -> str:
    if isinstance(item, list | tuple) and len(item) == 2:
        item = item[0]
    if isinstance(item, str):
        return item
    # Another library's code: without a connection it may raise whatever it likes.
    with suppress(Exception):
        text = item.as_string(None)  # type: ignore[attr-defined]
        return text if isinstance(text, str) else ""
    return ""


# --- The parts of a statement ------------------------------------------------------


class _Name(tuple[Token, ...]):
    """The parts of a name, its own last."""

    __slots__ = ()

    def __str__(self) -> str:
        return ".".join(part.text for part in self)

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(part.folded for part in self)


class _Cursor:
    """A place in a statement, or in a part of one."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self, ahead: int = 0) -> Token:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else END

    def next(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def take(self, *words: str) -> bool:
        """Step over `words` if all of them come next, and tell if they did."""
        if any(self.peek(i).word != word for i, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def skip(self, *words: str) -> None:
        """Step over what comes next as long as it is one of `words`."""
        while self.peek().word in words:
            self.at += 1

    def name(self) -> _Name:
        """Step over a name and return it, empty if there is none."""
        parts = []
        while self.peek().kind in ("word", "name", "string"):
            parts.append(self.next())
            if not self.take("."):
                break
            self.skip(".")  # T-SQL may leave a part out: database..table
        return _Name(parts)

    def names(self) -> Iterator[_Name]:
        """Step over names with commas between them and yield each."""
        while name := self.name():
            yield name
            if not self.take(","):
                break

    def split(self) -> Iterator[_Cursor]:
        """Yield what is between the commas ahead that aren't in parentheses."""
        start, depth = self.at, 0
        for at in range(start, len(self.tokens)):
            word = self.tokens[at].word
            depth += (word == "(") - (word == ")")
            if word == "," and not depth:
                yield _Cursor(self.tokens[start:at])
                start = at + 1
        yield _Cursor(self.tokens[start:])


# --- From statements to changes ----------------------------------------------------

_TABLE_OPTIONS = {
    *("FOREIGN", "GLOBAL", "IGNORE", "LOCAL", "ONLINE", "OR", "REPLACE", "TEMP"),
    *("TEMPORARY", "UNLOGGED", "VIRTUAL"),
}
# What a table has besides columns, as in ALTER TABLE t DROP INDEX i. In PostgreSQL
# many of these are names of columns too; then no name follows.
_PARTS = {
    *("CHECK", "CLUSTERING", "CONSTRAINT", "EXCLUDE", "FOREIGN", "FULLTEXT", "INDEX"),
    *("KEY", "PARTITION", "PERIOD", "PRIMARY", "SPATIAL", "SYSTEM", "UNIQUE"),
}
# How many texts deep to read: an EXECUTE in an EXECUTE in a DO is rare enough, and
# each level is one more pass over the text.
_DEEPEST = 4

_Key = tuple[str, ...]


class _Fate(Enum):
    """What there is under a name, if not a table that was there before."""

    MADE = auto()  # a table that this text makes
    PERHAPS_MADE = auto()  # the same, IF NOT EXISTS
    DROPPED = auto()
    VACATED = auto()  # renamed away, or dropped IF EXISTS: CREATE makes it anew


class _Reader:
    """Follows what becomes of each table, statement by statement."""

    def __init__(self) -> None:
        self.changes: dict[tuple[ObjectType, _Key], SchemaChange] = {}
        # What is there now under a name: the first name of a table, or a fate.
        self.tables: dict[_Key, _Key | _Fate] = {}
        self.columns_made: set[_Key] = set()

    def read(self, text: str, depth: int = 0) -> None:
        """Follow `text`, which lies `depth` texts deep in another."""
        for tokens in statements(text) if depth < _DEEPEST else ():
            it = _Cursor(tokens)
            match it.next().word:
                case "ALTER":
                    self.alter(it)
                case "CREATE":
                    self.create(it)
                case "DO":
                    self.do(it, depth)
                case "DROP":
                    self.drop(it)
                case "EXEC" | "EXECUTE":
                    self.execute(it, depth)
                case "RENAME":
                    self.rename(it)
                case "SP_RENAME":
                    self.sp_rename(it)

    # The statements

    def do(self, it: _Cursor, depth: int) -> None:
        if it.take("LANGUAGE"):
            it.next()
        if it.peek().kind == "string":
            self.read(it.next().text, depth + 1)

    def execute(self, it: _Cursor, depth: int) -> None:
        it.skip("IMMEDIATE", "FORMAT", "CONCAT", "SP_EXECUTESQL", "(")
        if it.peek().kind != "string":
            procedure = it.name()
            if procedure.key[-1:] == ("sp_rename",):
                self.sp_rename(it)
            return
        pieces = [it.next().text]
        while (token := it.next()) is not END:
            if token.kind == "string":
                pieces.append(token.text)
            elif token.kind != "mark" and pieces[-1] != "%s":
                pieces.append("%s")
        self.read("".join(pieces), depth + 1)

    def sp_rename(self, it: _Cursor) -> None:
        arguments = [part.tokens[-1].text for part in it.split() if part.tokens]
        if len(arguments) < 2:
            return
        tokens = Tokens(arguments[0], nests=True, escapes=False)
        old, new = _Cursor(list(tokens)).name(), _Name([Token("name", arguments[1])])
        kind = arguments[2].upper() if len(arguments) > 2 else "OBJECT"
        if kind == "COLUMN":
            self.change_column(Action.RENAME, _Name(old[:-1]), _Name(old[-1:]))
        elif kind == "OBJECT":
            self.rename_table(old, new)

    def create(self, it: _Cursor) -> None:
        it.skip(*_TABLE_OPTIONS)
        if it.take("TABLE"):
            perhaps = it.take("IF", "NOT", "EXISTS")
            key = it.name().key
            if self.tables.get(key) is _Fate.VACATED:
                self.changes.pop((ObjectType.TABLE, key), None)
            self.tables[key] = _Fate.PERHAPS_MADE if perhaps else _Fate.MADE

    def drop(self, it: _Cursor) -> None:
        it.take("FOREIGN")  # but not TEMPORARY: no other release sees such a table
        if it.next().word in ("TABLE", "TABLES", "SCHEMA", "DATABASE"):
            fate = _Fate.VACATED if it.take("IF", "EXISTS") else _Fate.DROPPED
            for name in it.names():
                what = self.tables.get(name.key, name.key)
                self.tables[name.key] = fate
                self.report_lost(Action.DROP, what, name)

    def rename(self, it: _Cursor) -> None:
        if it.next().word in ("TABLE", "TABLES"):
            it.take("IF", "EXISTS")
            for pair in it.split():
                old = pair.name()
                _skip_wait(pair)
                if pair.take("TO"):
                    self.rename_table(old, pair.name())

    def alter(self, it: _Cursor) -> None:
        it.skip(*_TABLE_OPTIONS)
        if not it.take("TABLE"):
            return
        it.take("IF", "EXISTS")
        it.take("ONLY")
        table = it.name()
        it.take("*")
        _skip_wait(it)
        dropping = False
        for action in it.split():
            verb = action.peek().word
            # T-SQL: DROP COLUMN a, b, COLUMN c. But FORCE is an action of MySQL.
            more = verb == "COLUMN" or (len(action.tokens) == 1 and verb != "FORCE")
            if action.take("DROP") or (dropping and more):
                dropping = self.drop_columns(action, table)
            elif action.take("ADD"):
                self.add_column(action, table)
            elif action.take("CHANGE"):
                self.change(action, table)
            elif action.take("RENAME"):
                self.rename_in_table(action, table)
            elif action.take("SET", "SCHEMA"):
                self.rename_table(table, _Name(action.name() + table[-1:]))

    # The actions of ALTER TABLE

    def drop_columns(self, it: _Cursor, table: _Name) -> bool:
        """Tell if it is columns that are dropped."""
        if not it.take("COLUMN") and _is_part(it):
            return False
        it.take("IF", "EXISTS")
        it.take("(")  # Oracle
        for column in it.names():
            self.change_column(Action.DROP, table, column)
        return True

    def add_column(self, it: _Cursor, table: _Name) -> None:
        is_column = it.take("COLUMN") or _is_plain_key(it) or not _is_part(it)
        if is_column and not it.take("IF", "NOT", "EXISTS"):
            self.columns_made.add(table.key + it.name().key)

    def change(self, it: _Cursor, table: _Name) -> None:
        it.take("COLUMN")
        it.take("IF", "EXISTS")
        old, new = it.name(), it.name()
        if new and str(old).lower() != str(new).lower():
            self.change_column(Action.RENAME, table, old)

    def rename_in_table(self, it: _Cursor, table: _Name) -> None:
        if it.take("TO") or it.take("AS") or it.take("="):
            self.rename_table(table, it.name())
        elif it.take("COLUMN") or not _is_part(it):
            it.take("IF", "EXISTS")
            name = it.name()
            if it.take("TO"):
                self.change_column(Action.RENAME, table, name)
            else:
                self.rename_table(table, name)

    # Their effects

    def change_column(self, action: Action, table: _Name, column: _Name) -> None:
        key = table.key + column.key
        made = action is Action.DROP and key in self.columns_made
        if not (made or self.tables.get(table.key) is _Fate.MADE):
            self.changes[ObjectType.COLUMN, key] = SchemaChange(
                action, ObjectType.COLUMN, f"{table}.{column}"
            )

    def rename_table(self, old: _Name, new: _Name) -> None:
        if not new:
            return
        target = new.key if len(new) > 1 else (old.key[:-1] + new.key)
        what = self.tables.get(old.key, old.key)
        self.tables[old.key] = _Fate.VACATED
        self.tables[target] = what
        if what == target:
            self.changes.pop((ObjectType.TABLE, target), None)  # It is back.
        elif not isinstance(what, _Fate):
            self.report_lost(Action.RENAME, what, old)
        elif self.changes.pop((ObjectType.TABLE, target), None):
            self.tables[target] = target  # It is made anew.

    def report_lost(self, action: Action, what: _Key | _Fate, name: _Name) -> None:
        """Report that the table `what` is gone, if no other took its place."""
        if isinstance(what, _Fate):
            return
        if self.tables.get(what) in (_Fate.DROPPED, _Fate.VACATED):
            key = (ObjectType.TABLE, what)
            first = self.changes[key].name if key in self.changes else str(name)
            self.changes[key] = SchemaChange(action, ObjectType.TABLE, first)


def _is_part(it: _Cursor) -> bool:
    """Tell if INDEX, or another such word, is what it says and not a column's name."""
    after = it.peek(1)
    column = after is END or after.word in ("CASCADE", "RESTRICT", "TO")
    return it.peek().word in _PARTS and not column


def _is_plain_key(it: _Cursor) -> bool:
    """Tell if KEY, or INDEX, is what PostgreSQL takes it for, the name of a column.

    MySQL's has columns in parentheses, after a name and what else it may have. A number
    there is the length of a type.
    """
    if it.peek().word not in ("INDEX", "KEY"):
        return False
    if it.peek(2).word == "(" and it.peek(3).word.isdecimal():
        return True
    return {it.peek(1).word, it.peek(2).word}.isdisjoint({"(", "IF", "USING"})


def _skip_wait(it: _Cursor) -> None:
    """Step over MariaDB's limit to how long it waits for locks."""
    if not it.take("NOWAIT") and it.take("WAIT"):
        it.next()
