"""What README.rst says is what the project does."""

import re
from pathlib import Path

import pytest

TEST_COMMAND = (
    "python3 -m venv .venv && .venv/bin/pip install -q tox tox-uv "
    "&& .venv/bin/tox run-parallel"
)


@pytest.fixture
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


def test_ci_ends_with_the_test_command(root: Path) -> None:
    assert f"    {TEST_COMMAND}\n" in (root / "README.rst").read_text()
    assert (root / ".ci" / "run").read_text().rstrip().endswith(TEST_COMMAND)


def test_the_demo_is_where_it_says(root: Path) -> None:
    (script,) = re.findall(
        r"bin/python (\S+)$", (root / "README.rst").read_text(), re.MULTILINE
    )
    assert (root / script).is_file()


def test_the_versions_are_those_that_are_tested(root: Path) -> None:
    readme = " ".join((root / "README.rst").read_text().split())
    project = (root / "pyproject.toml").read_text()
    versions = re.findall(r"Framework :: Django :: ([\d.]+)", project)
    assert f"Django {', '.join(versions[:-1])} or {versions[-1]}," in readme
    (python,) = re.findall(r'requires-python = ">=([\d.]+)"', project)
    assert f"Python {python} or newer" in readme
    environments = (root / "tox.ini").read_text()
    for version in versions:
        assert version.replace(".", "") in environments
