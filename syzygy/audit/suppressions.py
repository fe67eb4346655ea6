"""What people have decided to live with: comments in migrations, and the settings."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from syzygy.audit.findings import NOWHERE, Finding, Severity, Suppressed
from syzygy.locations import Definition, Location

MARK = b"syzygy:"
IDLE = "SZ000"
ANY = "*"
_COMMENT = re.compile(r"#\s*syzygy:\s*(.*)")
_IGNORE = re.compile(r"ignore\s*\[([^\]]*)\]\s*(.*)")


@dataclass(eq=False, repr=False)
class Suppression:
    """Codes that nobody wants to hear of, at the operations at ``positions``.

    ``positions`` is ``None`` for the whole migration, and empty where the comment
    stands at nothing. ``problem`` says what is wrong with the comment. ``used`` are the
    codes that have suppressed something.
    """

    codes: tuple[str, ...]
    reason: str
    location: Location
    positions: tuple[int, ...] | None
    problem: str = ""
    used: set[str] = field(default_factory=set)

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is one of those."""
        if finding.code not in self.codes:
            return False
        return self.positions is None or finding.position in self.positions


def read(definition: Definition) -> list[Suppression]:
    """The suppressions in the file of a migration, in order."""
    if MARK not in definition.source:
        return []
    lines = definition.source.decode("utf-8", "replace").splitlines()
    return [
        _parse(text, line, definition, lines)
        for line, text in _comments(definition.source)
    ]


def _comments(source: bytes) -> Iterator[tuple[int, str]]:
    """The comments for us, with their lines; strings that look like some aren't any."""
    # Not imported at the top: few migrations have such comments.
    import tokenize

    try:
        for token in tokenize.tokenize(io.BytesIO(source).readline):
            match = token.type == tokenize.COMMENT and _COMMENT.match(token.string)
            if match:
                yield token.start[0], match[1]
    except (SyntaxError, tokenize.TokenError):
        return  # Whoever imports the module is told.


def _parse(
    text: str, line: int, definition: Definition, lines: Sequence[str]
) -> Suppression:
    location = Location(definition.path, line)
    match = _IGNORE.match(text)
    codes = re.findall(r"[^\s,]+", match[1]) if match else []
    if not match or not codes:
        problem = 'it isn\'t of the form "# syzygy: ignore[SZ012] reason"'
        return Suppression((), "", location, (), problem)
    positions = _positions(line, definition, lines)
    problem = "" if positions != () else "it stands at no operation, nor at the class"
    return Suppression(tuple(codes), match[2].strip(), location, positions, problem)


def _positions(
    line: int, definition: Definition, lines: Sequence[str]
) -> tuple[int, ...] | None:
    """The operations that a comment is about; ``None`` if it is all of them."""
    while line <= len(lines):
        found = tuple(
            position
            for position, (first, last) in enumerate(definition.operations)
            if first <= line <= last
        )
        if found:
            return found
        if line == definition.line:
            return None
        text = lines[line - 1].strip()
        if text and not text.startswith("#"):
            return ()
        line += 1  # A comment of its own is about what comes next.
    return ()


@dataclass(eq=False, repr=False)
class Sieve:
    """Sorts findings by what suppresses them.

    ``ignored`` are codes, or "*" for all, by "*", app label or "app_label.migration",
    as in the settings. ``known`` are the codes of all rules, ``active`` those of the
    rules that were asked.
    """

    ignored: Mapping[str, Collection[str]]
    known: Collection[str]
    active: Collection[str]
    suppressed: list[Suppressed] = field(default_factory=list)
    _used: set[tuple[str, str]] = field(default_factory=set)

    def sift(
        self,
        findings: Iterable[Finding],
        comments: Sequence[Suppression],
        label: str = "",
        app_label: str = "",
    ) -> Iterator[Finding]:
        """The findings of a migration that are left, and what its comments miss."""
        for finding in findings:
            if by := self._suppressed_by(finding, comments):
                self.suppressed.append(by)
            else:
                yield finding
        _, _, name = label.partition(".")
        for comment in comments:
            for title in self._idle(comment):
                finding = _idle(title, app_label, name, comment.location)
                if by := self._suppressed_by(finding, ()):
                    self.suppressed.append(by)
                else:
                    yield finding

    def idle_settings(self) -> Iterator[Finding]:
        """What the settings ignore for nothing, once all there is has been sifted."""
        for key, codes in self.ignored.items():
            for code in codes:
                if (key, code) not in self._used and code in {*self.active, ANY}:
                    app_label, _, name = key.partition(".")
                    title = (
                        f'The setting "SYZYGY_AUDIT" ignores "{code}" for "{key}", '
                        "where there is no such finding"
                    )
                    yield _idle(title, app_label, name, NOWHERE)

    def _suppressed_by(
        self, finding: Finding, comments: Iterable[Suppression]
    ) -> Suppressed | None:
        by = None
        for comment in comments:
            if comment.covers(finding):
                comment.used.add(finding.code)
                by = by or Suppressed(finding, comment.reason, comment.location)
        for key in (ANY, finding.app_label, finding.label):
            for code in (ANY, finding.code):
                if code in self.ignored.get(key, ()):
                    self._used.add((key, code))
                    by = by or Suppressed(finding, f'SYZYGY_AUDIT["IGNORE"]["{key}"]')
        return by

    def _idle(self, comment: Suppression) -> Iterator[str]:
        """What the comment is there for in vain."""
        if comment.problem:
            yield f"A comment for the audit means nothing: {comment.problem}"
            return
        for code in comment.codes:
            if code not in self.known:
                yield f'A comment suppresses "{code}", which is no rule'
            elif code in self.active and code not in comment.used:
                yield f'A comment suppresses "{code}", but there is no such finding'


def _idle(title: str, app_label: str, name: str, location: Location) -> Finding:
    return Finding(
        code=IDLE,
        name="idle-suppression",
        title=title,
        severity=Severity.WARNING,
        app_label=app_label,
        migration=name,
        location=location,
        what="Nothing yet; a finding that is new would go unnoticed.",
        when="At the next audit.",
        why="What it was about has changed, or it never was there.",
        remedy="Remove or correct it.",
    )


def placed(finding: Finding, definition: Definition) -> Finding:
    """The finding with the line at which it stands."""
    return finding._replace(location=definition.location(finding.position))
