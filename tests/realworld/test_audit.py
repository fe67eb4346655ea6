"""The audit of all of Wagtail's history, and of an upgrade."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.realworld.sites import Site
from tests.realworld.test_rehearse import BREAKING

REVIEWED = Path(__file__).with_name("audit.txt")
# It has operations there alone, as in the other one: AddField of NOT NULL fields. The
# rehearsal has no values for the model.
BREAKING_POSTGRESQL = "wagtailsearch.0010_add_text_fields"
# On it the locks are interesting. Nothing connects to it.
POSTGRESQL = '{"ENGINE": "django.db.backends.postgresql", "NAME": "nowhere"}'


def audit(site: Site, *arguments: str) -> dict[str, Any]:
    command = ("check_migrations", "--format=json", *arguments)
    document: dict[str, Any] = json.loads(site.manage(*command, code=None))
    return document


def test_findings_are_those_that_were_reviewed(site: Site) -> None:
    site.configure(f'DATABASES["default"] = {POSTGRESQL}')
    reviewed = by_migration(REVIEWED.read_text(encoding="utf-8").splitlines())
    apps = sorted({name.partition(".")[0] for name in reviewed})

    document = audit(site, "--all", *apps)

    found = by_migration(map(line, document["findings"]))
    # Another Wagtail may have more migrations, or have dropped some that it squashed.
    audited = {planned["migration"] for planned in document["plan"]}
    common = audited & reviewed.keys()
    assert len(common) > 70
    assert {name: found.get(name) for name in common} == {
        name: reviewed[name] for name in common
    }


def test_the_history_of_others_is_theirs(site: Site) -> None:
    document = audit(site, "--all")
    assert {p["migration"].partition(".")[0] for p in document["plan"]} == {"home"}
    assert not [f for f in document["findings"] if f["severity"] == "breaking"]


def test_upgrade_by_one_release(previous: Site) -> None:
    before = previous.applied()

    document = audit(previous)

    pending = {planned["migration"] for planned in document["plan"]}
    assert pending
    assert not pending & before
    found = {
        f"{f['app_label']}.{f['migration']}"
        for f in document["findings"]
        if f["severity"] == "breaking"
    }
    # What the rehearsal of the same upgrade finds to break the running release, and it.
    breaking = {BREAKING}
    if previous.service.name == "postgresql":
        breaking.add(BREAKING_POSTGRESQL)
    assert found == breaking & pending


def line(finding: dict[str, Any]) -> str:
    position = finding["position"]
    parts = [
        f"{finding['app_label']}.{finding['migration']}",
        finding["code"],
        "-" if position is None else str(position),
        finding["effect"] or "",
    ]
    return " ".join(parts).rstrip()


def by_migration(lines: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in lines:
        if not each.startswith("#"):
            name, _, rest = each.partition(" ")
            found.setdefault(name, set()).add(rest)
    return found
