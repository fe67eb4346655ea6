from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.command_helpers import CREATE, Project, source
from tests.quorum.helpers import HOOK, Clusters, PartyServer, Server
from tests.services import UNDER_TEST, in_ci

DATABASE = "syzygy.quorum.backends.database.DatabaseQuorum"
CACHE = "syzygy.quorum.backends.cache.CacheQuorum"

# Redis through both of its backends, and Memcached.
CACHES = {
    "django-redis": ("redis", "django_redis.cache.RedisCache", "redis://{}/0"),
    "redis": ("redis", "django.core.cache.backends.redis.RedisCache", "redis://{}/0"),
    "memcached": (
        "memcached",
        "django.core.cache.backends.memcached.PyMemcacheCache",
        "{}",
    ),
}
ALL = ["database", *CACHES] if UNDER_TEST == "sqlite" else ["database", "redis"]
ONE = ["database", "redis"]
ONE_EACH = [*ONE, "memcached"] if UNDER_TEST == "sqlite" else ONE

# Other processes may keep the machine busy.
LEASE = 3.0

# Tests, by parts of their names, whose parties do nothing that others don't.
UNMEASURED = ["memcached", "django-redis", "test_rounds", "test_twenty", "is_wrong"]

StartServer = Callable[..., Server]


def require_program(name: str) -> None:
    program = "redis-server" if name == "redis" else name
    if not shutil.which(program):
        explanation = f'The tests need the program "{program}".'
        if in_ci():
            pytest.fail(explanation, pytrace=False)
        pytest.skip(explanation)


@pytest.fixture(scope="session")
def party_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[bool], PartyServer]]:
    """Start a server for parties that are measured, and one for those that aren't."""
    folder = tmp_path_factory.mktemp("parties")
    with ExitStack() as stack:

        @cache
        def get(is_measured: bool) -> PartyServer:
            server = PartyServer(folder / str(is_measured), is_measured=is_measured)
            stack.callback(server.close)
            return server

        yield get


@pytest.fixture
def party_server(
    party_servers: Callable[[bool], PartyServer], request: pytest.FixtureRequest
) -> Iterator[PartyServer]:
    """Start parties; those of a test that failed don't stay for the next."""
    is_new = UNDER_TEST == "sqlite" and not any(
        name in request.node.name for name in UNMEASURED
    )
    server = party_servers("COVERAGE_PROCESS_CONFIG" in os.environ and is_new)
    yield server
    server.kill_all()


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start servers that go when the test ends."""
    with ExitStack() as stack:

        def start(name: str, *options: str) -> Server:
            require_program(name)
            server = Server(name, tmp_path_factory.mktemp(name), *options)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="session")
def shared_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Server]]:
    """Start a server when it is first needed; each test has a database of its own."""
    servers: dict[str, Server] = {}

    def get(name: str) -> Server:
        require_program(name)
        if name not in servers:
            servers[name] = Server(name, tmp_path_factory.mktemp(name))
        return servers[name]

    yield get
    for server in servers.values():
        server.stop()


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """Which backend; parametrized indirectly."""
    name: str = getattr(request, "param", "database")
    return name


def cache_settings(name: str, server: Server, **values: Any) -> dict[str, Any]:
    _, path, location = CACHES[name]
    where = location.format(f"127.0.0.1:{server.port}")
    return {"default": {"BACKEND": path, "LOCATION": where, **values}}


@pytest.fixture
def clusters(
    project: Project,
    party_server: PartyServer,
    backend: str,
    tmp_path: Path,
    shared_servers: Callable[[str], Server],
) -> Clusters:
    """Make a project with one migration, and clusters that run it."""
    project.app("blog", {"0001_initial": source(HOOK, CREATE)})
    if backend == "database":
        return Clusters(project, party_server, {"backend": DATABASE, "lease": LEASE})
    server = shared_servers(CACHES[backend][0])
    # Else the namespaces of tests on one database would meet.
    project.settings["CACHES"] = cache_settings(
        backend, server, KEY_PREFIX=tmp_path.name
    )
    return Clusters(project, party_server, {"backend": CACHE, "lease": LEASE})
