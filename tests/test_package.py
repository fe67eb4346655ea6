"""The distribution as a user gets it: the built and installed wheel."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

import syzygy

CHECKOUT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(
    not os.environ.get("SYZYGY_TEST_WHEEL"),
    reason="Only tox installs the wheel. Run the tests with tox.",
)


@pytest.fixture(scope="module")
def distribution() -> metadata.Distribution:
    return metadata.distribution("django-syzygy")


@pytest.fixture(scope="module")
def installed(distribution: metadata.Distribution) -> set[PurePosixPath]:
    """Return the files of the wheel, without what the installer adds."""
    assert distribution.files is not None
    return {PurePosixPath(file) for file in distribution.files if file.suffix != ".pyc"}


def test_checkout_is_not_importable() -> None:
    assert CHECKOUT not in {Path(entry or Path.cwd()).resolve() for entry in sys.path}


def test_imported_from_site_packages(distribution: metadata.Distribution) -> None:
    assert syzygy.__file__ is not None
    module = Path(syzygy.__file__)
    assert module == Path(str(distribution.locate_file("syzygy/__init__.py")))
    assert CHECKOUT / "syzygy" not in module.parents


def test_wheel_holds_the_package_and_nothing_else(
    installed: set[PurePosixPath],
) -> None:
    tops = {file.parts[0] for file in installed}
    assert tops - {"syzygy"} == {f"django_syzygy-{version()}.dist-info"}
    assert PurePosixPath("syzygy/py.typed") in installed
    assert {file for file in installed if file.parts[0] == "syzygy"} == {
        PurePosixPath(file.relative_to(CHECKOUT).as_posix())
        for file in (CHECKOUT / "syzygy").rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }


def test_wheel_holds_the_licence(installed: set[PurePosixPath]) -> None:
    assert [file.parts[0] for file in installed if file.name == "LICENSE"] == [
        f"django_syzygy-{version()}.dist-info"
    ]


def test_version(distribution: metadata.Distribution) -> None:
    assert distribution.version == version()


def test_django_is_the_only_requirement(distribution: metadata.Distribution) -> None:
    assert distribution.requires is not None
    names = {
        re.split(r"[^\w-]", requirement)[0].lower()
        for requirement in distribution.requires
        if "extra ==" not in requirement
    }
    assert names == {"django"}


def version() -> str:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    value = project["project"]["version"]
    assert isinstance(value, str)
    return value
