"""A site made with Wagtail goes through rolling deployments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.realworld.conftest import SQLITE
from tests.realworld.releases import WAGTAIL_4_1
from tests.realworld.sites import Site, Sites

# What project/past.py writes, read with today's models
CONTENT = {
    "article": [
        "Conjunction",
        "<p>Three in a row.</p>",
        "/home/conjunction/",
        "English",
    ],
    "comment": "Four, even",
    "document": ["Table"],
    "editors": ["add_page", "change_page"],
    "embed": ["https://example.com/video"],
    "form": {"answer": 42},
    "home": "Home",
    "image": ["Eclipse", 2],
    "images": ["Eclipse"],
    "live revision": True,
    "log": [["wagtail.publish", {"title": "Conjunction"}]],
    "owner": "editor",
    "profile": "de",
    "promotions": [],
    "redirect": "Conjunction",
    "restriction": "password",
    "revision": "Conjunction",
    "site": "HomePage",
    "tags": ["Moon"],
    "workflow": ["Conjunction", True],
}

# What has nothing to do with the kind of the database.
on_sqlite = pytest.mark.parametrize("sites", [SQLITE], indirect=True)

THIRD_PARTY_MIGRATION = re.compile(r"(?!home\.).+\.migrations\.\d{4}_")


def section(output: str, title: str) -> dict[str, str]:
    """Return the stages that a section of a command's output tells, by migration."""
    _, found, rest = output.partition(f"\n{title}")
    stages = {}
    for line in rest.splitlines()[1:] if found else []:
        if not line.startswith("  "):
            break
        name, stage, _ = line.split(maxsplit=2)
        stages[name] = stage
    return stages


def deploy(site: Site, everything: set[str], content: Mapping[str, object]) -> set[str]:
    """Deploy all that is pending, in two stages; return what the first postponed."""
    before = site.applied()
    output = site.manage("migrate", "--pre-deploy", "--plan")
    now, postponed = section(output, "Stages:"), section(output, "Postponed ")
    assert site.applied() == before
    assert now.keys() | postponed.keys() == everything - before
    assert not now.keys() & postponed.keys()
    assert "post-deploy" not in now.values()

    site.manage("migrate", "--pre-deploy")
    assert site.applied() == everything - postponed.keys()
    site.manage("migrate", "--check", "--pre-deploy")
    # The new release works before the rest is applied.
    assert site.content() == content

    site.manage("migrate")
    assert site.applied() == everything
    assert site.content() == content
    return set(postponed)


def test_upgrade_by_one_release(sites: Sites, previous: Site, plain: Site) -> None:
    site = sites.new(like=previous)
    content = CONTENT | {"promotions": [["moon", "Conjunction"]]}

    postponed = deploy(site, plain.applied(), content)

    assert "home.0006_remove_subtitle" in postponed
    assert site.schema() == plain.schema()
    site.manage("makemigrations", "--check", "--dry-run")


@on_sqlite
def test_upgrade_over_years_with_what_the_message_says(
    sites: Sites, past: Site, plain: Site
) -> None:
    site = sites.new(like=past)
    # Not from further back: there, some migrations of Wagtail make permissions that
    # Django 6.1 then fails to rename others to, whoever applies them.
    site.travel(WAGTAIL_4_1, "fill")
    before = site.applied()

    message = site.manage("migrate", "--pre-deploy", code=1)

    assert site.applied() == before
    assert '"wagtailcore.0083_workflowcontenttype"' in message
    assert '"wagtailcore.0082_alter_workflowstate_content_type_notnull"' in message
    [line] = re.findall(r"^ +(MIGRATION_STAGES_OVERRIDE = .+)$", message, re.MULTILINE)
    site.configure(line)
    postponed = deploy(site, plain.applied(), CONTENT)

    assert "home.0006_remove_subtitle" in postponed
    assert site.schema() == plain.schema()


@on_sqlite
def test_new_database_in_two_stages(sites: Sites, plain: Site) -> None:
    site = sites.new()

    output = site.manage("migrate", "--pre-deploy")
    postponed = section(output, "Postponed ")
    assert site.applied() == plain.applied() - postponed.keys()
    site.manage("migrate")

    assert site.applied() == plain.applied()
    assert site.schema() == plain.schema()
    # The other one has content types of models that there once were.
    tables = plain.tables() - {"auth_permission", "django_content_type"}
    assert site.counts(tables) == plain.counts(tables)


def test_revert_of_an_app(sites: Sites, plain: Site) -> None:
    site = sites.new(like=plain)
    before, schema = site.applied(), site.schema()
    redirects = {name for name in before if name.startswith("wagtailredirects.")}
    command = ("migrate", "wagtailredirects", "zero")

    output = site.manage(*command, "--pre-deploy", "--plan")
    now, postponed = section(output, "Stages:"), section(output, "Postponed ")
    assert site.applied() == before
    assert now.keys() | postponed.keys() == redirects
    # What the running release needs stays until it is gone.
    assert "wagtailredirects.0001_initial" in postponed
    assert "wagtailredirects.0007_add_autocreate_fields" in postponed

    site.manage(*command, "--pre-deploy")
    assert site.applied() == before - now.keys()
    site.manage(*command)
    assert site.applied() == before - redirects
    assert site.tables() == {
        table for table in plain.tables() if not table.startswith("wagtailredirects_")
    }

    site.manage("migrate", "wagtailredirects")
    assert site.applied() == before
    assert site.schema() == schema


@on_sqlite
def test_revert_of_a_release(sites: Sites, plain: Site) -> None:
    site = sites.new(like=plain)
    before = site.applied()

    # The previous release finds its column again before it is back.
    site.manage("migrate", "home", "0003", "--pre-deploy")
    assert before - site.applied() == {"home.0006_remove_subtitle"}
    site.manage("migrate", "home", "0003")
    assert before - site.applied() == {
        "home.0004_homepage_intro",
        "home.0005_relax_subtitle",
        "home.0006_remove_subtitle",
    }


@on_sqlite
def test_revert_over_releases_with_what_the_message_says(
    sites: Sites, plain: Site
) -> None:
    site = sites.new(like=plain)
    before = site.applied()
    # What 0091 removed has to be back before a rollout that undoes what came after it,
    # then what 0082 made NOT NULL.
    message = site.manage("migrate", "wagtailcore", "0080", "--pre-deploy", code=1)
    assert site.applied() == before
    assert '"wagtailcore.0091_remove_revision_submitted_for_moderation"' in message
    commands = re.findall(r"^ +python manage\.py (.+)$", message, re.MULTILINE)
    assert commands

    for command in commands:
        site.manage(*command.split(), "--pre-deploy")
        site.manage(*command.split())
    site.manage("migrate", "wagtailcore", "0090", "--pre-deploy")
    assert newest(site, "wagtailcore") == (
        "wagtailcore.0090_remove_grouppagepermission_permission_type"
    )


def newest(site: Site, app_label: str) -> str:
    return max(name for name in site.applied() if name.startswith(f"{app_label}.0"))


def test_checks_are_clean_and_import_no_third_party_migration(site: Site) -> None:
    modules = site.imported("check")
    assert "home.migrations.0006_remove_subtitle" in modules
    assert not [m for m in modules if THIRD_PARTY_MIGRATION.match(m)]

    assert "no issues" in site.manage("check")


def test_checks_without_fallback_tell_what_to_paste(site: Site) -> None:
    site.configure("MIGRATION_THIRD_PARTY_STAGES_FALLBACK = None")
    message = site.manage("check", code=1)
    assert message.count("syzygy.E001") == 1
    [line] = re.findall(r"(MIGRATION_STAGES_BASELINE = .+)$", message, re.MULTILINE)
    site.configure(line)
    assert "no issues" in site.manage("check")


def test_stages_are_those_that_were_reviewed(site: Site) -> None:
    reviewed = by_migration(Path(__file__).with_name("stages.txt").read_text())
    found = by_migration(site.stages())
    # Another Wagtail may have more migrations, or have dropped some that it squashed.
    common = reviewed.keys() & found.keys()
    assert len(common) > 200
    assert {name: found[name] for name in common} == {
        name: reviewed[name] for name in common
    }


def by_migration(lines: str) -> dict[str, str]:
    return dict(
        line.split(" ", maxsplit=1)
        for line in lines.splitlines()
        if line and not line.startswith("#")
    )
