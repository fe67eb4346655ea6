"""What SQL text tightens or rewrites, beside what it drops or renames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from syzygy.alterations import column_name, has_db_default
from syzygy.history import AnyField, History, ModelKey
from syzygy.sql import ObjectType, schema_changes
from syzygy.sql_scanner import Token, Tokens, statements

_NAMES = ("word", "name")
_DATA = {
    "CALL",
    "DELETE",
    "DO",
    "INSERT",
    "MERGE",
    "REPLACE",
    "UPDATE",
    "WITH",
    "TRUNCATE",
}
# What may be done concurrently. Django does nothing with a materialized view.
_INDEXING = {"ALTER", "CREATE", "DROP", "REINDEX"}
# Of ALTER TABLE; to VALIDATE, for one, lets others read and write.
_LOCKING = {"ADD", "ALTER", "DROP", "RENAME"}
_EXECUTING = {"DO", "EXEC", "EXECUTE"}
# Of texts in texts, each of which is another pass.
_DEEPEST = 3
_CONSTRAINTS = {"CONSTRAINT", "UNIQUE", "CHECK", "FOREIGN", "PRIMARY", "EXCLUDE"}


class Effect(NamedTuple):
    """What a statement does: ``kind`` is "tightens" or "rewrites".

    The ``column`` is empty if the clause is about no single one that there was. A
    unique index has ``columns`` if it compares these alone, as they are.
    """

    kind: str
    table: str
    clause: str
    column: str = ""
    columns: tuple[str, ...] = ()


def texts(sql: Any) -> Iterator[str]:
    """The texts in what ``RunSQL`` takes."""
    for item in sql if isinstance(sql, list | tuple) else [sql]:
        text = item[0] if isinstance(item, list | tuple) and item else item
        if isinstance(text, str):
            yield text


def effects(sql: Any) -> list[Effect]:
    """What the text forbids the running release, and which columns it changes.

    Tables that the text makes itself don't count. No input raises.
    """
    found: list[Effect] = []
    made: set[str] = set()
    for text in texts(sql):
        upper = text.upper()
        if not any(word in upper for word in ("ALTER", "UNIQUE")):
            continue
        for tokens in _statements(text):
            found += _read(tokens, made)
    return found


def _statements(text: str, depth: int = 0) -> Iterator[list[Token]]:
    """The statements of a text, and of the code in it that is executed at once."""
    for tokens in statements(text) if depth < _DEEPEST else ():
        yield tokens
        if tokens and tokens[0].word in _EXECUTING:
            for token in tokens:
                if token.kind == "string":
                    yield from _statements(token.text, depth + 1)


def is_known(history: History, table: str) -> bool | None:
    """Whether a model has that table; ``None`` if the plan creates it."""
    for key in history.models:
        if history.table(key).lower() == table.lower():
            return None if history.is_unseen(*key) else True
    return False


def dropped_tables(sql: Any) -> Iterator[str]:
    """The tables that the text drops, or drops columns of."""
    for change in schema_changes(sql):
        parts = change.name.split(".")
        is_column = change.object_type is ObjectType.COLUMN
        yield parts[-2] if is_column and len(parts) > 1 else parts[-1]


def is_respected(history: History, effect: Effect) -> bool:
    """Whether no release that knows the models writes what is forbidden."""
    if effect.columns:
        return any(
            history.table(key).lower() == effect.table.lower()
            and _is_in_force(history, key, effect.columns)
            for key in history.models
        )
    fields = _fields(history, effect) if effect.column else ()
    if not fields or any(field.primary_key for field in fields):
        return False
    if effect.clause == "SET NOT NULL":
        return not any(field.null for field in fields)
    # Django leaves no other column out of an INSERT.
    return effect.clause == "DROP DEFAULT" and not any(map(has_db_default, fields))


def _is_in_force(history: History, key: ModelKey, columns: Iterable[str]) -> bool:
    """Whether no rows of a model have the same in these columns, or hadn't just now."""
    fields = history.models[key].fields
    names = {column_name(name, field).lower(): name for name, field in fields.items()}
    found = {names.get(column.lower(), "") for column in columns}
    return "" not in found and history.is_in_force(key, found)


def _fields(history: History, effect: Effect) -> tuple[AnyField, ...]:
    """The field whose column it is about, as the running release has it and by now.

    There is none if that release doesn't know it.
    """
    for key, model in history.models.items():
        if history.table(key).lower() == effect.table.lower():
            for name, field in model.fields.items():
                column = column_name(name, field).lower()
                if column == effect.column.lower():
                    running = history.released_field(key, name)
                    return () if running is None else (running, field)
    return ()


def outside_transactions(sql: Any) -> Iterator[tuple[str, bool]]:
    """What PostgreSQL refuses in a transaction, and whether its text has no more."""
    for text in texts(sql):
        if not any(word in text.upper() for word in ("CONCURRENTLY", "VACUUM")):
            continue
        found = list(_split(Tokens(text, nests=True, escapes=False)))
        for words in found:
            if words[0] == "VACUUM":
                yield "VACUUM", len(found) == 1
            elif words[0] in _INDEXING and "CONCURRENTLY" in words:
                yield "CONCURRENTLY", len(found) == 1


def altered_tables(sql: Any) -> Iterator[str]:
    """The tables that the text alters while nobody else may use them."""
    for text in texts(sql):
        for tokens in _statements(text) if "ALTER" in text.upper() else ():
            words = [token.word for token in tokens[:3]]
            if words[:1] == ["ALTER"] and "TABLE" in words:
                table, at = _name(tokens, words.index("TABLE") + 1)
                if any(
                    action and action[0].word in _LOCKING
                    for action in _actions(tokens[at:])
                ):
                    yield table


def changes_data(sql: Any) -> bool:
    """Whether the text has a statement that writes rows, or code that may."""
    return any(
        words[0] in _DATA
        for text in texts(sql)
        for words in _split(Tokens(text, nests=True, escapes=False))
    )


def _split(tokens: Iterable[Token]) -> Iterator[list[str]]:
    """The words of each statement."""
    statement: list[str] = []
    for token in tokens:
        if token.word != ";":
            statement.append(token.word)
        elif statement:
            yield statement
            statement = []
    if statement:
        yield statement


def _read(tokens: list[Token], made: set[str]) -> Iterator[Effect]:
    words = [token.word for token in tokens]
    if words[:1] == ["CREATE"] and "TABLE" in words[:5]:
        made.add(_name(tokens, words.index("TABLE") + 1)[0])
    elif words[:3] == ["CREATE", "UNIQUE", "INDEX"] and "ON" in words:
        table, at = _name(tokens, words.index("ON") + 1)
        if table not in made:
            columns = _columns(tokens[at:])
            yield Effect("tightens", table, "CREATE UNIQUE INDEX", columns=columns)
    elif words[:1] == ["ALTER"] and "TABLE" in words[:3]:
        table, at = _name(tokens, words.index("TABLE") + 1)
        if table not in made:
            for action in _actions(tokens[at:]):
                yield from _effects_of(action, table)


def _columns(tokens: list[Token]) -> tuple[str, ...]:
    """The columns of an index, if it is of columns alone that may be NULL at will."""
    words = [token.word for token in tokens]
    start = 2 if words[:1] == ["USING"] else 0
    if words[start : start + 1] != ["("] or ")" not in words or "NULLS" in words:
        return ()
    parts = [*_actions(tokens[start + 1 : words.index(")")])]
    if any(len(part) != 1 or part[0].kind not in _NAMES for part in parts):
        return ()
    return tuple(part[0].folded for part in parts)


def _is_retyping(words: list[str]) -> bool:
    """Whether it is ALTER [COLUMN] name [SET DATA] TYPE; a column may be a "type"."""
    rest = words[3:] if words[1:2] == ["COLUMN"] else words[2:]
    return rest[:1] == ["TYPE"] or rest[:3] == ["SET", "DATA", "TYPE"]


def _effects_of(action: list[Token], table: str) -> Iterator[Effect]:
    """What an action of ALTER TABLE does."""
    words = [token.word for token in action]
    first, text = words[:1], " ".join(words)
    column, _ = _name(action, 2 if words[1:2] == ["COLUMN"] else 1)
    if first == ["ALTER"] and "SET NOT NULL" in text:
        yield Effect("tightens", table, "SET NOT NULL", column)
    elif first == ["ALTER"] and "DROP DEFAULT" in text:
        yield Effect("tightens", table, "DROP DEFAULT", column)
    elif first == ["ALTER"] and _is_retyping(words):
        yield Effect("rewrites", table, "ALTER COLUMN ... TYPE")
    elif first in (["MODIFY"], ["CHANGE"]):
        yield Effect("rewrites", table, f"{words[0]} COLUMN")
        if "NOT NULL" in text and "DEFAULT" not in words:
            yield Effect("tightens", table, f"{words[0]} COLUMN ... NOT NULL")
    elif first == ["ADD"] and len(words) > 1:
        if "UNIQUE USING INDEX" in text:
            return  # It is the index that forbids.
        if words[1] in _CONSTRAINTS:
            yield Effect("tightens", table, f"ADD {words[1]}")
        elif "NOT NULL" in text and not {"DEFAULT", "GENERATED", "AS"} & {*words}:
            yield Effect("tightens", table, "ADD COLUMN ... NOT NULL")


def _actions(tokens: list[Token]) -> Iterator[list[Token]]:
    """What is between the commas that aren't in parentheses."""
    part: list[Token] = []
    depth = 0
    for token in tokens:
        depth += (token.word == "(") - (token.word == ")")
        if token.word == "," and not depth:
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _name(tokens: list[Token], at: int) -> tuple[str, int]:
    """The last part of the name that begins there, and where it ends."""
    while at < len(tokens) and tokens[at].word in {"IF", "NOT", "EXISTS", "ONLY"}:
        at += 1
    name = ""
    while at < len(tokens) and tokens[at].kind in _NAMES:
        name = tokens[at].folded
        at += 1
        if at < len(tokens) and tokens[at].word == ".":
            at += 1
        else:
            break
    return name, at
