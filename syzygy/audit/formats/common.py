"""What several formats say in the same words."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from django.conf import settings

from syzygy.audit.findings import Finding
from syzygy.locations import Location


def timing(finding: Finding) -> str:
    """The migration, and the stage in which it runs; or the app."""
    return ", ".join([finding.label, *([finding.stage.label] if finding.stage else [])])


def paragraphs(finding: Finding) -> Iterator[tuple[str, str]]:
    """What is known of a finding beside its title: a word each, and what it is."""
    yield "Migration" if finding.migration else "App", timing(finding)
    for name, text in (
        ("Operation", finding.operation),
        ("What", finding.what),
        ("When", finding.when),
        ("Why", finding.why),
        ("Instead", finding.remedy),
        ("SQL", "\n".join(finding.sql)),
    ):
        if text:
            yield name, text


def plain(finding: Finding) -> str:
    """All that is known of a finding, as text."""
    lines = [f"{name}: {text}" for name, text in paragraphs(finding)]
    return "\n".join([f"{finding.title}.", *lines])


def place(finding: Finding) -> Location:
    """Where to show a finding: in the settings what has no place of its own.

    Services refuse what has none at all; it has none where no file has the settings.
    """
    if finding.location.path:
        return finding.location
    module = sys.modules.get(getattr(settings, "SETTINGS_MODULE", None) or "")
    path = getattr(module, "__file__", None)
    return Location(path, 1) if path else Location()


def fingerprints(findings: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    """Each finding with an id that it keeps while other lines come and go."""
    seen: Counter[tuple[str, ...]] = Counter()
    for finding in findings:
        key = (finding.code, finding.label, finding.operation)
        text = "\0".join([*key, str(seen[key])])
        seen[key] += 1
        yield finding, hashlib.sha256(text.encode(errors="replace")).hexdigest()
