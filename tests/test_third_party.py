"""Third party is what lies where the interpreter keeps packages, whatever its name."""

from __future__ import annotations

import site
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest
from django.apps import AppConfig, apps

from syzygy.third_party import is_third_party


def app(path: Path) -> AppConfig:
    """Return the configuration of an app in that folder."""
    module = ModuleType("blog")
    module.__path__ = [str(path)]
    return AppConfig("blog", module)


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a virtual environment inside a project, and put its packages on the path."""
    folder = tmp_path / "project/.venv/lib/python3/site-packages"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_what_pip_installed_here() -> None:
    assert is_third_party(apps.get_app_config("auth"))


@pytest.mark.parametrize("scheme", ["purelib", "platlib"])
@pytest.mark.parametrize("name", ["blog", "company/blog"])
def test_packages_of_this_interpreter(scheme: str, name: str) -> None:
    assert is_third_party(app(Path(sysconfig.get_path(scheme), name)))


def test_packages_of_this_interpreter_that_are_not_on_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = Path(sysconfig.get_path("purelib"), "blog")
    monkeypatch.setattr(sys, "path", [])
    assert is_third_party(app(installed))


def test_packages_of_the_user() -> None:
    assert is_third_party(app(Path(site.getusersitepackages(), "blog")))


@pytest.mark.parametrize("name", ["site-packages", "dist-packages"])
def test_packages_on_the_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = app(tmp_path / name / "blog")
    assert not is_third_party(installed)
    monkeypatch.syspath_prepend(str(tmp_path / name))
    assert is_third_party(installed)


def test_path_with_a_slash_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As code that changes the path may leave it."""
    monkeypatch.syspath_prepend(f"{tmp_path / 'site-packages'}/")
    assert is_third_party(app(tmp_path / "site-packages/blog"))


@pytest.mark.parametrize(
    "name",
    ["src/app", "usr/src/app", "lib", f"lib/python{sys.version_info[0]}", "blog"],
)
def test_checkout_under_the_prefix(name: str) -> None:
    """Such as /usr/src/app, where the prefix is /usr."""
    assert not is_third_party(app(Path(sys.prefix, name)))
    assert not is_third_party(app(Path(sys.base_prefix, name)))


def test_standard_library_folder() -> None:
    assert not is_third_party(app(Path(sysconfig.get_path("stdlib"), "blog")))


def test_virtual_environment_inside_the_project(site_packages: Path) -> None:
    assert is_third_party(app(site_packages / "blog"))
    assert is_third_party(app(site_packages / "company/blog"))
    assert not is_third_party(app(site_packages.parents[3] / "blog"))
    assert not is_third_party(app(site_packages.parents[2] / "blog"))


@pytest.mark.parametrize(
    "name",
    ["site-packages-old", "site-packages.bak", "my-site-packages", "site_packages"],
)
def test_folders_named_alike(
    name: str, site_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = site_packages.with_name(name)
    assert not is_third_party(app(folder / "blog"))
    monkeypatch.syspath_prepend(str(folder))
    assert not is_third_party(app(folder / "blog"))


def test_the_folder_of_packages_itself_is_no_package(site_packages: Path) -> None:
    """An app whose name merely begins like the folder."""
    assert not is_third_party(app(Path(f"{site_packages}blog")))


def test_folder_of_that_name_that_is_not_on_the_path(tmp_path: Path) -> None:
    assert not is_third_party(app(tmp_path / "site-packages/blog"))


def test_editable_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .pth file puts the checkout on the path."""
    monkeypatch.syspath_prepend(str(tmp_path / "checkout/src"))
    assert not is_third_party(app(tmp_path / "checkout/src/blog"))


def test_editable_install_by_a_link(tmp_path: Path, site_packages: Path) -> None:
    checkout = tmp_path / "checkout/blog"
    checkout.mkdir(parents=True)
    (site_packages / "blog").symlink_to(checkout)
    assert not is_third_party(app(site_packages / "blog"))


def test_link_to_an_installed_package(tmp_path: Path, site_packages: Path) -> None:
    (site_packages / "blog").mkdir()
    (tmp_path / "blog").symlink_to(site_packages / "blog")
    assert is_third_party(app(tmp_path / "blog"))


def test_folder_of_packages_behind_a_link(tmp_path: Path, site_packages: Path) -> None:
    """Such as /bin beside /usr/bin, or lib64 beside lib."""
    (tmp_path / "lib64").symlink_to(site_packages.parent)
    assert is_third_party(app(tmp_path / "lib64/site-packages/blog"))


def test_link_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packages/blog").mkdir(parents=True)
    (tmp_path / "site-packages").symlink_to(tmp_path / "packages")
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    assert is_third_party(app(tmp_path / "packages/blog"))
    assert is_third_party(app(tmp_path / "site-packages/blog"))


def test_project_behind_a_link(tmp_path: Path, site_packages: Path) -> None:
    """A deployment that switches releases by a link."""
    (tmp_path / "current").symlink_to(site_packages.parents[3])
    assert not is_third_party(app(tmp_path / "current/blog"))
    assert is_third_party(
        app(tmp_path / "current/.venv/lib/python3/site-packages/blog")
    )


def test_folder_that_is_a_link_below_the_packages(
    tmp_path: Path, site_packages: Path
) -> None:
    """Of a namespace package, the part that is checked out."""
    (tmp_path / "checkout/blog").mkdir(parents=True)
    (site_packages / "company").symlink_to(tmp_path / "checkout")
    assert not is_third_party(app(site_packages / "company/blog"))
