"""A missing server fails tests in CI, and skips them elsewhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import explain_missing, in_ci, require_service


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Yield a port that refuses connections and that nobody else can take."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(params=["postgresql", "mariadb"])
def missing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> Iterator[str]:
    """Yield the name of a service that can't be reached."""
    name: str = request.param
    monkeypatch.setenv(f"SYZYGY_TEST_{name.upper()}_PORT", str(closed_port))
    explain_missing.cache_clear()
    yield name
    explain_missing.cache_clear()


DRIVERS = {"postgresql": "psycopg", "mariadb": "MySQLdb"}


def test_the_reason_names_the_service_and_the_place(
    missing: str, closed_port: int
) -> None:
    pytest.importorskip(DRIVERS[missing])
    explanation = explain_missing(missing)
    assert explanation is not None
    assert explanation.startswith(
        f'The tests need "{missing}": no connection to 127.0.0.1:{closed_port} ('
    )
    assert "\n" not in explanation


def test_the_reason_names_the_driver(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = DRIVERS[missing]
    monkeypatch.setitem(sys.modules, driver, None)
    explanation = explain_missing(missing)
    assert explanation is not None
    assert f'"{missing}": its driver is not installed' in explanation
    assert driver in explanation


def test_sqlite_is_always_there() -> None:
    assert explain_missing("sqlite") is None


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_ci(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    assert in_ci()


@pytest.mark.parametrize("value", ["", "0", "false", "False", None])
def test_not_ci(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    assert not in_ci()


def test_elsewhere_a_test_is_skipped(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f'^The tests need "{missing}"'):
        require_service(missing)


def test_in_ci_a_test_fails(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f'^The tests need "{missing}"'):
        require_service(missing)


def run_tests(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the three cases of one test in a pytest of its own."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "CI" and not name.startswith("PYTEST_")
    }
    return subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider"),
            f"{__file__}::{test_ci.__name__}",
        ],
        cwd=Path(__file__).parent.parent,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_elsewhere_all_tests_are_skipped(missing: str) -> None:
    process = run_tests(SYZYGY_TEST_DB=missing)
    assert "= 3 skipped in " in process.stdout, process.stdout + process.stderr
    assert f'The tests need "{missing}": ' in process.stdout
    assert process.returncode == 0


def test_in_ci_no_test_is_run(missing: str) -> None:
    process = run_tests(SYZYGY_TEST_DB=missing, CI="true")
    assert process.returncode == 1
    lines = (process.stdout + process.stderr).splitlines()
    assert [line for line in lines if "The tests need" in line] == [
        f"Exit: {explain_missing(missing)}"
    ]
    assert "skipped" not in process.stdout


def test_an_unknown_database_is_an_error() -> None:
    process = run_tests(SYZYGY_TEST_DB="oracle")
    assert process.returncode == pytest.ExitCode.USAGE_ERROR
    assert (
        'SYZYGY_TEST_DB is "oracle". Use one of: sqlite, postgresql, mariadb.'
        in process.stderr
    )
