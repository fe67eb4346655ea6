"""Rounds that go well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from syzygy.quorum.backends.database import DatabaseQuorum
from syzygy.quorum.identity import namespace
from tests.command_helpers import ADD, source
from tests.quorum.conftest import ALL, CACHE, ONE, cache_settings
from tests.quorum.helpers import HOOK_BACK, Clusters, Server, assert_all, quick
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]


@pytest.mark.parametrize("backend", ALL, indirect=True)
def test_rounds(clusters: Clusters, backend: str) -> None:
    project = clusters.project
    assert_all(clusters.start_all(3))
    assert len(clusters.appliers) == 1
    # A second deployment, before and after the rollout.
    project.migrations("blog", quick("0002_slug", ADD))
    project.migrations(
        "blog", {"0003_title": source(HOOK_BACK, stage="Stage.POST_DEPLOY")}
    )
    assert_all(clusters.start_all(2, "--pre-deploy"))
    assert project.applied()[-1] == "blog.0002_slug"
    assert_all(clusters.start_all(2))
    assert project.applied()[-1] == "blog.0003_title"
    assert len(clusters.appliers) == 3
    # A revert, and the same plan again.
    assert_all(clusters.start_all(2, "blog", "0002"))
    assert project.applied()[-1] == "blog.0002_slug"
    assert_all(clusters.start_all(2))
    assert project.applied()[-1] == "blog.0003_title"
    assert len(clusters.appliers) == 5
    assert_little_is_left(clusters, backend)


def assert_little_is_left(clusters: Clusters, backend: str) -> None:
    """Only what the last one wrote, for those that didn't read it yet."""
    if backend == "database":
        store = DatabaseQuorum()
        store.bind(connection)
        assert len(store.read(namespace(connection), 2)) <= 1
        store.close()


@pytest.mark.skipif(UNDER_TEST == "mariadb", reason="Twice is enough.")
@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_twenty_parties(clusters: Clusters) -> None:
    assert_all(clusters.start_all(20))
    assert len(clusters.appliers) == 1


def test_five_parties_of_two_projects_in_one_cache(
    clusters: Clusters, shared_servers: Callable[[str], Server], tmp_path: Path
) -> None:
    clusters.project.settings |= {
        "CACHES": cache_settings("redis", shared_servers("redis"), KEY_PREFIX=""),
        "MIGRATION_QUORUM_BACKEND": CACHE,
    }
    clusters.project.settings["CACHES"]["default"]["KEY_PREFIX"] = tmp_path.name
    clusters.project.write_settings()
    waiting = clusters.start_all(1, quorum=2)
    waiting[0].wait_for("Waiting for 1 of 2")
    # The same apps and plans, on a database of its own under the same alias.
    databases = clusters.project.databases
    clusters.project.databases = {"default": databases["other"]}
    clusters.project.write_settings()
    assert_all(clusters.start_all(5))
    assert waiting[0].code is None
    clusters.project.databases = databases
    clusters.project.write_settings()
    assert_all([*waiting, *clusters.start_all(1, quorum=2)])
    assert len(clusters.appliers) == 2
