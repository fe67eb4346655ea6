"""A comment for a pull request, in the Markdown of GitHub and GitLab.

Names come from files that anybody may have proposed, so none of them is taken for
Markdown, for HTML, for a diagram's syntax or for the name of somebody to notify.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from syzygy.audit.findings import Audit, Finding, Planned
from syzygy.audit.formats.common import paragraphs
from syzygy.constants import Stage
from syzygy.hosting import hosted_path, no_commands
from syzygy.locations import Location
from syzygy.management.audit_report import verdict

# For scripts that replace their comment.
MARK = "<!-- syzygy: check_migrations -->"

# GitHub takes comments of 65,536 characters, GitLab of a million.
_LIMIT = 60_000
# A diagram of more is no help, and Mermaid gives up in the end.
_NODES = 40
_ROWS = 100

_STAGES = (
    (Stage.PRE_DEPLOY, "pre", "before the rollout"),
    (Stage.POST_DEPLOY, "post", "after the rollout"),
    (None, "unknown", "in no stage"),
)


def render(audit: Audit) -> str:
    """The verdict, the plan as a table and as a graph, and the findings."""
    parts = [MARK, "### Audit of the migrations", _prose(verdict(audit))]
    if audit.is_release and audit.plan:
        parts += _plan(audit)
    length = sum(map(len, parts))
    left = len(audit.findings)
    for finding in audit.findings:
        part = _finding(finding)
        length += len(part) + 2
        if length > _LIMIT:
            parts.append(f"There are {left} more, which this comment has no room for.")
            break
        parts.append(part)
        left -= 1
    if audit.suppressed:
        parts += _suppressed(audit, max(_LIMIT - length, 0) // 300)
    return "\n\n".join(parts)


# The plan


def _plan(audit: Audit) -> Iterator[str]:
    plan = sorted(audit.plan, key=lambda p: [s for s, _, _ in _STAGES].index(p.stage))
    yield "\n".join(_table(plan, audit))
    if len(plan) <= _NODES:
        yield "\n".join(["```mermaid", *_graph(plan, audit), "```"])


def _table(plan: Sequence[Planned], audit: Audit) -> Iterator[str]:
    yield "| stage | migration | why then | findings |"
    yield "|-|-|-|-|"
    for planned in plan[:_ROWS]:
        codes = [f.code for f in audit.findings if f.label == planned.label]
        yield _row(
            planned.stage.label if planned.stage else "none",
            _code(planned.label),
            _prose(planned.reason),
            _prose(", ".join(dict.fromkeys(codes))),
        )
    if len(plan) > _ROWS:
        yield _row("", f"and {len(plan) - _ROWS} more", "", "")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _graph(plan: Sequence[Planned], audit: Audit) -> Iterator[str]:
    """A box for each stage, and an arrow to each migration from what it needs."""
    ids = {planned.label: f"m{number}" for number, planned in enumerate(plan)}
    yield "flowchart LR"
    for stage, group in groupby(plan, key=lambda planned: planned.stage):
        name, title = next((name, title) for s, name, title in _STAGES if s is stage)
        yield f'  subgraph {name}["{title}"]'
        for planned in group:
            yield f'    {ids[planned.label]}["{_node(planned.label)}"]'
        yield "  end"
    for planned in plan:
        for needed in planned.needs:
            if needed in ids:
                yield f"  {ids[needed]} --> {ids[planned.label]}"
    bad = {f.label for f in audit.findings if f.is_breaking}
    found = {f.label for f in audit.findings}
    for labels, style in ((bad, "stroke:#d1242f"), (found - bad, "stroke:#bf8700")):
        for label, node in ids.items():
            if label in labels:
                yield f"  style {node} {style},stroke-width:3px"


def _node(text: str) -> str:
    """Text in a diagram: https://mermaid.js.org/syntax/flowchart.html#entity-codes."""
    return re.sub(r"[^A-Za-z0-9_.]", lambda match: f"#{ord(match[0])};", _line(text))


# The findings


def _finding(finding: Finding) -> str:
    lines = [
        f"#### {_prose(finding.code)} {finding.severity.value}: "
        f"{_prose(finding.title)}",
        "",
    ]
    about = [_code(finding.label)]
    if finding.stage:
        about.append(finding.stage.label)
    if finding.operation:
        about.append(_prose(finding.operation))
    if finding.location.path:
        about.append(_code(_at(finding.location)))
    lines.append(", ".join(about))
    for name, text in paragraphs(finding):
        if name in ("What", "When", "Why"):
            lines += ["", f"**{name}:** {_prose(text)}"]
        elif name == "Instead":
            lines += ["", "\n\n".join(_remedy(text))]
        elif name == "SQL":
            lines += ["", _fenced(text, "sql")]
    return "\n".join(lines)


def _remedy(text: str) -> Iterator[str]:
    """Sentences, and in between the lines of code, which are indented."""
    name = "**Instead:** "
    groups = groupby(text.split("\n"), key=lambda line: line.startswith("    "))
    for is_code, lines in groups:
        if is_code:
            yield _fenced(textwrap.dedent("\n".join(lines)))
        else:
            yield name + _prose(" ".join(lines))
            name = ""


def _suppressed(audit: Audit, room: int) -> Iterator[str]:
    yield f"**Suppressed:** {len(audit.suppressed)}"
    lines = []
    for item in audit.suppressed[:room]:
        finding, reason = item.finding, _prose(item.reason[:100])
        place = item.location
        where = f"at {_code(_at(place))}" if place.path else "in the settings"
        line = f"- {_prose(finding.code)} of {_code(finding.label)} {where}"
        lines.append(f"{line}: {reason}" if reason else line)
    yield "\n".join(lines)


def _at(location: Location) -> str:
    return f"{hosted_path(location.path)}:{location.line}"


# Text that is nothing but text


def _prose(text: str) -> str:
    """Text in a line of Markdown, or in a cell."""
    line = re.sub(r"([\\`*_\[\]~$#])", r"\\\1", _line(text))
    line = escape(line, quote=False).replace("|", "&#124;")
    # What follows isn't somebody to notify then, nor an address.
    line = line.replace("@", "@\u200b").replace("://", ":\u200b//")
    # At the beginning these make a list, a heading, or an order to GitLab: "/close".
    return re.sub(r"^(\d*)([/+=.:)-])", lambda m: m[1] + _entity(m[2]), line)


def _code(text: str) -> str:
    """Text in a line of Markdown, or in a cell, to be shown as it is."""
    line = _line(text)
    if re.fullmatch(r"[\w.:/ -]+", line):
        return f"`{line}`"
    return f"<code>{''.join(c if c.isalnum() else _entity(c) for c in line)}</code>"


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(longest + 1, 3)
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    return f"{fence}{language}\n{no_commands(shown)}\n{fence}"


def _line(text: str) -> str:
    """Text without ends of lines, and without what nobody sees."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _entity(character: str) -> str:
    return f"&#{ord(character)};"
