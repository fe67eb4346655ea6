"""What of the tests the coverage is measured of: enough to have run each line.

To measure takes a test two thirds longer, so it stops where more of the same comes:

- after the first examples of a property,
- for every other one of the many cases in the modules that are named here,
- on another database than SQLite for what is tested, and measured, with SQLite, too,
- for tests that are marked as "unmeasured".

All of them are run, and fail, as ever.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.services import UNDER_TEST

if TYPE_CHECKING:
    from coverage import Coverage

# Examples of a property
FEW = 20
# One in so many cases
STEP = 2
CASES = (
    "test_makemigrations_rolling.py",
    "test_rehearsal_docs.py",
    "test_rehearsal_rules.py",
)
ON_SQLITE = (
    "test_combining.py",
    "test_migrate.py",
    "test_migrate_bad_input.py",
    "test_rehearse.py",
    "test_testing.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for item in items:
        file, name = item.path.name, getattr(item, "originalname", item.name)
        number = seen[file, name]
        seen[file, name] += 1
        if file in CASES:
            is_measured = number % STEP == 0
        elif UNDER_TEST != "sqlite" and file in ON_SQLITE:
            # It may be for this database alone.
            is_measured = item.get_closest_marker("skipif") is not None
        else:
            continue
        if not is_measured:
            item.add_marker("unmeasured")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    module = sys.modules.get("coverage")
    coverage: Coverage | None = module.Coverage.current() if module else None
    if coverage is None:
        return (yield)
    if item.get_closest_marker("unmeasured"):
        coverage.stop()
        try:
            return (yield)
        finally:
            coverage.start()
    with first_examples(item, coverage):
        return (yield)


@contextmanager
def first_examples(item: pytest.Item, coverage: Coverage) -> Iterator[None]:
    """Measure no more than these, if the test is one of a property."""
    tried = getattr(getattr(item, "obj", None), "hypothesis", None)
    if tried is None:
        yield
        return
    test: Callable[..., Any] = tried.inner_test
    count = 0

    def measured(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == FEW + 1:
            coverage.stop()
        return test(*args, **kwargs)

    tried.inner_test = measured
    try:
        yield
    finally:
        tried.inner_test = test
        if count > FEW:
            coverage.start()
