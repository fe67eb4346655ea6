from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.realworld.releases import WAGTAIL_4_1, WAGTAIL_7_0
from tests.realworld.sites import Servers, Site, Sites
from tests.services import SERVICES
from tests.settings import RUN

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session", autouse=True)
def wagtail() -> None:
    if find_spec("wagtail") is None:
        pytest.skip('Only "tox run -e realworld" installs Wagtail.')


def _database(name: str) -> Any:
    """A parameter of `sites`; the tests of one database share a worker, and sites."""
    return pytest.param(
        name, marks=[pytest.mark.service(name), pytest.mark.xdist_group(name)]
    )


SQLITE = _database("sqlite")
POSTGRESQL = _database("postgresql")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    yield made
    made.close()


@pytest.fixture(scope="session", params=[SQLITE, POSTGRESQL])
def sites(
    request: pytest.FixtureRequest,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sites]:
    folder = tmp_path_factory.mktemp(request.param)
    prefix = f"syzygy_realworld_{RUN}_{WORKER}"
    service = SERVICES[request.param]
    made = Sites(service, servers.of(service), folder, prefix)
    yield made
    made.drop()


@pytest.fixture(scope="session")
def past(sites: Sites) -> Site:
    """Return a site at Wagtail 4.1, without content; the tests make copies of it."""
    site = sites.new()
    site.travel(WAGTAIL_4_1)
    return site


@pytest.fixture(scope="session")
def empty(sites: Sites, past: Site) -> Site:
    """Return a site at Wagtail 7.0, without content; the tests make copies of it."""
    site = sites.new(like=past)
    site.travel(WAGTAIL_7_0)
    return site


@pytest.fixture(scope="session")
def previous(sites: Sites, empty: Site) -> Site:
    """Return a site at Wagtail 7.0, with content; the tests make copies or look."""
    site = sites.new(like=empty)
    site.travel(WAGTAIL_7_0, "fill")
    return site


@pytest.fixture(scope="session")
def plain(sites: Sites, empty: Site) -> Site:
    """Return a site that Django without Syzygy has brought to the present."""
    site = sites.new(like=empty)
    site.configure('INSTALLED_APPS.remove("syzygy")')
    modules = site.imported("migrate", "--verbosity=0")
    assert not [name for name in modules if name.startswith("syzygy.management")]
    return site


@pytest.fixture(params=[SQLITE])
def site(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Site:
    """Return a site on an empty SQLite database."""
    service = SERVICES[request.param]
    return Sites(service, servers.of(service), tmp_path, "").new()
