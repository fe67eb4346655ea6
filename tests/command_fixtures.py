"""Fixtures for real projects on the database under test.

A test module has them after ``pytest_plugins = ["tests.command_fixtures"]``.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import ConnectionHandler

from tests.command_helpers import (
    ManageServer,
    Project,
    administer,
    connected,
    drop,
    empty,
    environment,
)
from tests.services import SERVICES, UNDER_TEST
from tests.settings import RUN

ALIASES = ("default", "other")
# Tests of what is run in processes alone.
MEASURED = (
    "test_makemigrations.py",
    "test_prompts.py",
    "test_rehearse.py",
    "test_squashing.py",
)


@pytest.fixture(scope="session")
def manage_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[bool], ManageServer]]:
    """Make a server for processes that are measured, and one for those that aren't."""
    with ExitStack() as stack:

        @cache
        def get(is_measured: bool) -> ManageServer:
            folder = tmp_path_factory.mktemp("manage")
            variables = environment(is_measured=True) if is_measured else None
            return stack.enter_context(closing(ManageServer(folder, (), variables)))

        yield get


@pytest.fixture
def manage_server(
    manage_servers: Callable[[bool], ManageServer], request: pytest.FixtureRequest
) -> ManageServer:
    return manage_servers(UNDER_TEST == "sqlite" and request.path.name in MEASURED)


@pytest.fixture(scope="session")
def command_databases(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """Create an empty database for each alias, and drop it in the end."""
    folder = tmp_path_factory.mktemp("databases")
    run = f"{RUN}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    configured = {
        alias: SERVICES[UNDER_TEST].database(
            str(folder / f"{alias}.sqlite3")
            if UNDER_TEST == "sqlite"
            else f"syzygy_commands_{alias}_{run}"
        )
        for alias in ALIASES
    }
    if UNDER_TEST == "sqlite":
        for values in configured.values():
            # Nobody pulls the plug on a test.
            values["OPTIONS"] = {"init_command": "PRAGMA synchronous=OFF"}
    databases = ConnectionHandler(configured).settings
    with django_db_blocker.unblock(), ExitStack() as stack:
        if UNDER_TEST != "sqlite":
            with connected(databases):
                for alias, values in databases.items():
                    stack.callback(drop, databases, alias)
                    administer(alias, f"CREATE DATABASE {values['NAME']}")
        yield databases
        shutil.rmtree(folder)


@pytest.fixture
def project(
    tmp_path: Path,
    command_databases: Mapping[str, Mapping[str, Any]],
    manage_server: ManageServer,
    django_db_blocker: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    """Make a project without apps of its own, on empty databases."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with django_db_blocker.unblock(), connected(command_databases):
        yield Project(tmp_path, command_databases, manage_server)
        for alias in command_databases:
            empty(alias)
