"""Telling people what came of an audit."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.management.color import Style

from syzygy.audit.findings import Audit, Finding, Severity
from syzygy.hosting import no_commands, one_line
from syzygy.messages import counted

_WIDTH = 88
_INDENT = 10


def write(audit: Audit, stdout: OutputWrapper, style: Style) -> None:
    """Write the findings, the worst first, and what they come to."""
    styles = {Severity.BREAKING: style.ERROR, Severity.WARNING: style.WARNING}
    for severity, paint in styles.items():
        for finding in audit.findings:
            if finding.severity is severity:
                _write_finding(finding, stdout, paint)
    paint = style.ERROR if audit.count(Severity.BREAKING) else style.SUCCESS
    stdout.write(paint(verdict(audit)))
    if audit.findings:
        # The one at the top.
        code = min(audit.findings, key=lambda finding: not finding.is_breaking).code
        stdout.write(
            f"Explain a rule:\n    python manage.py check_migrations --explain {code}"
        )


def verdict(audit: Audit) -> str:
    """What it comes to, in one line."""
    if audit.is_release and not audit.plan and not audit.findings:
        return one_line(f"Nothing to audit in {audit.scope}.")
    breaking = counted(audit.count(Severity.BREAKING), "breaking finding")
    warnings = counted(audit.count(Severity.WARNING), "warning")
    suppressed = f", {len(audit.suppressed)} suppressed" if audit.suppressed else ""
    return one_line(f"{breaking}, {warnings}{suppressed}, in {audit.scope}.")


def heading(finding: Finding) -> str:
    """The one line that tells most of a finding."""
    severity = finding.severity.value.upper()
    return one_line(f"{severity} {finding.code} {finding.label}: {finding.title}")


def _write_finding(finding: Finding, stdout: OutputWrapper, paint: Any) -> None:
    stdout.write(paint(heading(finding)))
    for name, text in _rows(finding):
        margin = f"  {name:{_INDENT - 2}}"
        for line in map(one_line, text.split("\n")):
            # Code and SQL are to be pasted as they are.
            is_code = name == "sql" or line.startswith("    ")
            stdout.write(no_commands(margin + line if is_code else _fill(line, margin)))
            margin = " " * _INDENT
    stdout.write("")


def _fill(line: str, margin: str) -> str:
    return textwrap.fill(
        line,
        _WIDTH,
        initial_indent=margin,
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _rows(finding: Finding) -> Iterator[tuple[str, str]]:
    place = finding.location
    stage = f", {finding.stage.label}" if finding.stage else ""
    if place.path:
        yield "where", one_line(f"{place.path}:{place.line}{stage}")
    yield "breaks", finding.what
    yield "when", finding.when
    yield "why", finding.why
    yield "remedy", finding.remedy
    if finding.sql:
        yield "sql", "\n".join(finding.sql)
