from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from hypothesis import settings as hypothesis_settings

from tests import settings
from tests.properties import examples
from tests.services import UNDER_TEST, explain_missing, in_ci, require_service

pytest_plugins = ["tests.measuring"]

# DJANGO_SETTINGS_MODULE would be imported before this file, while the package "tests"
# is on no path (see tox.ini), and processes that the tests start would inherit it.
django_settings.configure(
    **{name: getattr(settings, name) for name in dir(settings) if name.isupper()}
)

# Under coverage, on a busy machine, a slow example says nothing.
hypothesis_settings.register_profile(
    "syzygy",
    parent=hypothesis_settings.default,
    deadline=None,
    max_examples=examples(100),
)
hypothesis_settings.load_profile("syzygy")


def pytest_configure() -> None:
    # As a shell has the one in the background, and "nohup" the other; the tests'
    # processes would inherit that.
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    explanation = explain_missing(UNDER_TEST)
    if explanation and in_ci():
        pytest.exit(explanation, returncode=pytest.ExitCode.TESTS_FAILED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if explanation := explain_missing(UNDER_TEST):
        for item in items:
            item.add_marker(pytest.mark.skip(reason=explanation))


def pytest_collection_finish() -> None:
    # What was imported stays. To look through it for garbage again and again takes a
    # fifteenth of the tests' CPU time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("service"):
        require_service(*marker.args)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the processes of a test run have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
