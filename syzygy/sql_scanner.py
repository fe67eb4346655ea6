r"""From SQL text to its statements: tokens, and where a statement ends.

The scanner of sqlparse won't do: it ends a nested comment too early, takes the
backslash in 'C:\' for an escape, reads what follows an open quote as code and knows few
of MySQL's `#comments`; its oldest release that Django allows misses dollar quotes too,
and takes quadratic time on some input.

The text doesn't say for which vendor it is. Where they differ (does a backslash
escape a quote, do comments nest?) the reading that makes sense is taken: in a wrong
one a quote or a comment stays open, or a backslash is left outside of both.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Token(NamedTuple):
    """A word, a name, a string or another mark; no space or comment."""

    kind: str  # word, name (quoted), string or mark
    text: str  # without its quotes
    word: str = ""  # in upper case; of words and marks only

    @property
    def folded(self) -> str:
        """What names are compared by: quotes keep the case."""
        return self.text.lower() if self.word else self.text


END = Token("end", "")


@cache
def _pattern(escapes: bool) -> re.Pattern[str]:
    def quoted(quote: str, escapes: bool) -> str:
        plain = rf"[^{quote}\\]*+" if escapes else rf"[^{quote}]*+"
        pair = rf"(?:{quote}{quote}|\\.)" if escapes else quote * 2
        return f"{quote}{plain}(?:{pair}{plain})*+{quote}"

    escaped, string = quoted("'", True), quoted("'", escapes)
    dollar = r"\$(?:[^\W\d]\w*)?\$"
    kinds = {
        # PostgreSQL has JSON operators that begin with a `#` too.
        "space": r"\s+|--[^\r\n]*|\#(?!(?:>>?|[-=])[\s'\"(])[^\r\n]*",
        "string": f"[Ee]{escaped}|(?:[NnBbXx]|[Uu]&)?{string}",
        "body": rf"(?P<tag>{dollar}).*?(?P=tag)",
        # Brackets that follow something are an array's.
        "name": rf"{quoted(chr(34), escapes)}|{quoted('`', False)}"
        r"|(?<![\w\])\[])\[(?:[^\[\]'\n]|\]\])+\]",
        "broken": rf"""[Ee]?'|["`]|{dollar}""",
        # A placeholder may stand where a name does.
        "word": r"\w[\w$]*|%(?:\(\w+\)|\d+\$)?[A-Za-z]",
        "executed": r"/\*M?!\d*",
        "comment": r"/\*",
        "mark": r".",
    }
    return re.compile("|".join(f"(?P<{k}>{v})" for k, v in kinds.items()), re.DOTALL)


class Tokens:
    """The tokens of `text`, as some of the vendors read it.

    Once they have been iterated over, `broken` tells that none of those would take it.
    """

    def __init__(self, text: str, *, nests: bool, escapes: bool) -> None:
        self.text = text
        self.match = _pattern(escapes).match
        self.comment_mark = re.compile(r"/\*|\*/" if nests else r"\*/")
        self.broken = False

    def __iter__(self) -> Iterator[Token]:
        at = 0
        executed = False  # in a comment whose text MySQL and MariaDB execute
        while found := self.match(self.text, at):
            at, kind, text = found.end(), found.lastgroup, found[0]
            if executed and self.text.startswith("*/", at - 1):
                at, executed = at + 1, False
            elif kind in ("word", "mark"):
                self.broken |= text == "\\"
                yield Token(kind, text, text.upper())
            elif kind == "string":
                text = text[text.index("'") + 1 : -1]
                yield Token(kind, text.replace("''", "'"))
            elif kind == "body":
                delimiter = len(found["tag"])
                yield Token("string", text[delimiter:-delimiter])
            elif kind == "name":
                yield Token(kind, text[1:-1].replace(text[-1] * 2, text[-1]))
            elif kind == "executed":
                executed = True
            elif kind == "comment":
                at = self.after_comment(at)
            elif kind == "broken":
                self.broken = True
                return

    def after_comment(self, at: int) -> int:
        """Return where the comment ends whose opening mark ends at `at`."""
        depth = 1
        for mark in self.comment_mark.finditer(self.text, at):
            depth += 1 if mark[0] == "/*" else -1
            if not depth:
                return mark.end()
        self.broken = True
        return len(self.text)


# A statement matters only if it begins with a head. It follows a semicolon; in the
# body of a DO an opener will do, in T-SQL the condition of an IF.
_HEADS = {"ALTER", "CREATE", "DO", "DROP", "EXEC", "EXECUTE", "RENAME", "SP_RENAME"}
_OPENERS = {"ATOMIC", "BEGIN", "DO", "ELSE", "LOOP", "THEN"}
# A routine's body has semicolons and statements, but isn't executed.
_ROUTINES = {"EVENT", "FUNCTION", "PROCEDURE", "TRIGGER"}
_OBJECTS = {*_ROUTINES, "INDEX", "TABLE", "TYPE", "VIEW"}
_COMPOUNDS = {"FOR", "IF", "LOOP", "REPEAT", "WHILE"}


def statements(text: str) -> list[list[Token]]:
    """Return the statements of `text` that may matter. No text raises."""
    readings = []
    # PostgreSQL and SQL Server, then SQLite and Oracle, then MySQL and MariaDB.
    for nests, escapes in ((True, False), (False, False), (False, True)):
        tokens = Tokens(text, nests=nests, escapes=escapes)
        readings.append(list(_split(tokens)))
        if not tokens.broken:
            return readings[-1]
    return readings[0]


def _split(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    statement: list[Token] = []
    head = defined = previous = ""
    blocks = 0  # those open in a routine's body
    for token in tokens:
        word = token.word
        routine = defined in _ROUTINES
        begins = not head or head == "IF" or previous in _OPENERS
        if word == ";" and not blocks:
            yield statement
            statement, head, defined = [], "", ""
        elif word in _HEADS and begins and not routine:
            yield statement
            statement, head, defined = [token], word, ""
        else:
            head = head or word or token.kind
            if routine:
                blocks = max(0, blocks + _blocks_opened(word, previous))
            elif statement:
                statement.append(token)
                if word in _OBJECTS:
                    defined = defined or word
        previous = word
    yield statement


def _blocks_opened(word: str, previous: str) -> int:
    if word == "END":
        return -1
    if previous == "END":
        return int(word in _COMPOUNDS)  # It closed none of those that are counted.
    return int(word in ("BEGIN", "CASE"))
