"""The database servers that tests run on, and what to do where one is missing.

``SYZYGY_TEST_DB`` names the database under test. ``SYZYGY_TEST_<NAME>_HOST``,
``_PORT``, ``_USER`` and ``_PASSWORD`` say where a server is.

In CI (``CI`` is set, and neither empty nor "false") a test that lacks its server
fails; elsewhere it is skipped, and the reason says what is missing.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Service:
    """A database server, or SQLite, which needs none."""

    name: str
    engine: str
    port: int | None = None

    @property
    def address(self) -> dict[str, Any]:
        """Return the host, port, user and password to connect with."""
        if self.port is None:
            return {}
        prefix = f"SYZYGY_TEST_{self.name.upper()}_"
        return {
            "host": os.environ.get(prefix + "HOST") or "127.0.0.1",
            "port": int(os.environ.get(prefix + "PORT") or self.port),
            "user": os.environ.get(prefix + "USER") or "syzygy",
            "password": os.environ.get(prefix + "PASSWORD") or "syzygy",
        }

    def database(self, name: str) -> dict[str, Any]:
        """Return what Django's ``DATABASES`` needs for the database called ``name``."""
        settings = {"ENGINE": f"django.db.backends.{self.engine}", "NAME": name}
        return settings | {key.upper(): value for key, value in self.address.items()}

    def missing(self) -> str | None:
        """Return why no connection can be made, or ``None`` if one was."""
        try:
            match self.name:
                case "postgresql":
                    import psycopg

                    psycopg.connect(
                        **self.address, dbname="postgres", connect_timeout=5
                    ).close()
                case "mariadb":
                    import MySQLdb

                    MySQLdb.connect(**self.address, connect_timeout=5).close()
        except ImportError as error:
            return f"its driver is not installed ({error})"
        except Exception as error:  # noqa: BLE001 (each driver has its own)
            place = "{host}:{port}".format(**self.address)
            return f"no connection to {place} ({' '.join(str(error).split())})"
        return None


SERVICES = {
    service.name: service
    for service in (
        Service("sqlite", "sqlite3"),
        Service("postgresql", "postgresql", 5432),
        Service("mariadb", "mysql", 3306),
    )
}

UNDER_TEST = os.environ.get("SYZYGY_TEST_DB") or "sqlite"

if UNDER_TEST not in SERVICES:
    raise pytest.UsageError(
        f'SYZYGY_TEST_DB is "{UNDER_TEST}". Use one of: {", ".join(SERVICES)}.'
    )


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}


@functools.cache
def explain_missing(name: str) -> str | None:
    """Return a sentence that says why the service can't be used, or ``None``."""
    reason = SERVICES[name].missing()
    return reason and f'The tests need "{name}": {reason}.'


def require_service(name: str) -> None:
    """Skip the running test, in CI fail it, if the service can't be used."""
    if explanation := explain_missing(name):
        if in_ci():
            pytest.fail(explanation, pytrace=False)
        pytest.skip(explanation)
