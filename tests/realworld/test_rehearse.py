"""The deployment of a new Wagtail is rehearsed before it is performed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.realworld.conftest import POSTGRESQL
from tests.realworld.releases import WAGTAIL_7_0
from tests.realworld.sites import Site, Sites

# AddField of a NOT NULL field with a default that isn't one of the database
BREAKING = "wagtailusers.0015_userprofile_keyboard_shortcuts"
# The same, in a model that has search vectors on PostgreSQL
SEARCH = "wagtailsearch.0010_add_text_fields"
# A new table, after which content types are deleted as before
HARMLESS = "wagtailadmin.0006_formstate"

on_postgresql = pytest.mark.parametrize("sites", [POSTGRESQL], indirect=True)


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


# The rehearsals are the longest of these tests: each database has one of its own.
@on_postgresql
def test_upgrade_by_one_release(sites: Sites, previous: Site, plain: Site) -> None:
    before, schema = previous.applied(), previous.schema()

    document = rehearse(previous)

    pending = plain.applied() - before
    assert {step["migration"] for step in document["steps"]} - {None} == pending
    judge(previous, document)
    assert (previous.applied(), previous.schema()) == (before, schema)


def test_upgrade_from_the_files_alone(site: Site) -> None:
    targets = [f"--from={app}.{name}" for app, name in WAGTAIL_7_0.items()]
    judge(site, rehearse(site, *targets))


def judge(site: Site, document: dict[str, Any]) -> None:
    assert document["complete"]
    rehearsed = {step["migration"] for step in document["steps"]}
    expected = {BREAKING}
    if site.service.name == "postgresql":
        expected.add(SEARCH)
    found = breaking(document)
    assert found & {BREAKING, SEARCH} == expected & rehearsed
    assert HARMLESS not in found
    # Those of the site are written for a deployment with two releases.
    assert not {name for name in found if name.startswith("home.")}
