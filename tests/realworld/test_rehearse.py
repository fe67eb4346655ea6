"""The deployment of a new Wagtail is rehearsed before it is performed."""

from __future__ import annotations

import json
from typing import Any

from tests.realworld.releases import WAGTAIL_7_0
from tests.realworld.sites import Site, Sites

# AddField of a NOT NULL field with a default that isn't one of the database
BREAKING = "wagtailusers.0015_userprofile_keyboard_shortcuts"


def rehearse(site: Site, *arguments: str) -> dict[str, Any]:
    command = ("rehearse", "--format=json", *arguments)
    document: dict[str, Any] = json.loads(site.manage(*command, code=None))
    return document


def breaking(document: dict[str, Any]) -> set[str]:
    return {
        finding["migration"]
        for finding in document["findings"]
        if finding["severity"] == "breaks"
    }


def test_upgrade_by_one_release(sites: Sites, past: Site, plain: Site) -> None:
    site = sites.new(like=past)
    site.travel(WAGTAIL_7_0)
    before, schema = site.applied(), site.schema()

    document = rehearse(site)

    assert document["complete"]
    pending = plain.applied() - before
    assert {step["migration"] for step in document["steps"]} - {None} == pending
    # Those of the site are written for a deployment with two releases.
    found = breaking(document)
    assert not {name for name in found if name.startswith("home.")}
    assert (BREAKING in found) == (BREAKING in pending)
    assert (site.applied(), site.schema()) == (before, schema)


def test_upgrade_from_the_files_alone(site: Site) -> None:
    targets = [f"--from={app}.{name}" for app, name in WAGTAIL_7_0.items()]
    document = rehearse(site, *targets)
    assert document["complete"]
    assert not {name for name in breaking(document) if name.startswith("home.")}
