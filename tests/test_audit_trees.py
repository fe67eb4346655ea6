"""What a commit is about to bring is audited, whatever the work tree holds."""

from __future__ import annotations

import sys

import pytest

from tests.command_helpers import ADD, CREATE, Project, source
from tests.test_audit_command import UNSAFE, Told, check
from tests.test_git import commit_all, run_git

pytest_plugins = ["tests.command_fixtures"]

IGNORE = "\n        # syzygy: ignore[SZ007] known\n        "


@pytest.fixture
def blog(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project whose first migration is committed."""
    project.app("blog", {"0001_initial": source(CREATE)})
    commit_all(project.path)
    monkeypatch.chdir(project.path)
    return project


def stage(project: Project, path: str = ".") -> None:
    run_git(project.path, "add", "--all", "--", path)


def brought(project: Project, **settings: object) -> Told:
    """What there is to say of a commit of what is staged."""
    tree = run_git(project.path, "write-tree")
    finders = list(sys.meta_path)
    with project.active(**settings):
        told = check("--since", "HEAD", "--tree", tree)
    assert sys.meta_path == finders
    return told


def plan(told: Told) -> list[str]:
    return [each["migration"] for each in told.data["plan"]]


def test_what_is_staged_rather_than_what_the_files_hold(blog: Project) -> None:
    blog.migrations("blog", {"0002_next": source(UNSAFE)})
    file = blog.path / "blog/migrations/0002_next.py"
    unsafe = file.read_text()
    told = brought(blog)
    assert plan(told) == []  # It isn't staged.
    stage(blog)
    for other in (source(ADD).text(("blog", "0001_initial")), "1 / 0", None):
        if other is None:
            file.unlink()
        else:
            file.write_text(other)
        told = brought(blog)
        assert told.labels == ["SZ007 blog.0002_next"]
        [finding] = told.data["findings"]
        assert finding["path"] == "blog/migrations/0002_next.py"
        assert unsafe.splitlines()[finding["line"] - 1].strip().startswith("operations")
    file.write_text(unsafe.replace(UNSAFE, ADD))
    stage(blog)
    file.write_text(unsafe)
    told = brought(blog)
    assert (plan(told), told.codes) == (["blog.0002_next"], [])
    file.write_text(unsafe.replace(UNSAFE, f"{IGNORE}{UNSAFE}"))
    stage(blog)
    file.write_text(unsafe)
    [suppressed] = brought(blog).data["suppressed"]
    assert suppressed["reason"] == "known"


def test_what_a_commit_edits_is_new(blog: Project) -> None:
    blog.migrations("blog", {"0002_next": source(ADD)})
    commit_all(blog.path)
    file = blog.path / "blog/migrations/0002_next.py"
    safe = file.read_text()
    assert plan(brought(blog)) == []
    file.write_text(f"# A comment.\n{safe}")
    stage(blog)
    assert plan(brought(blog)) == []
    file.write_text(safe.replace(ADD, UNSAFE))
    stage(blog)
    assert brought(blog).labels == ["SZ007 blog.0002_next"]


def test_what_a_commit_removes_or_moves_is_not(blog: Project) -> None:
    blog.migrations("blog", {"0002_next": source(UNSAFE)})
    commit_all(blog.path)
    run_git(blog.path, "mv", "blog/migrations", "moved")
    told = brought(blog, MIGRATION_MODULES={"blog": "moved"})
    assert (told.code, plan(told)) == (0, [])
    run_git(blog.path, "rm", "-qf", "moved/0002_next.py")
    told = brought(blog, MIGRATION_MODULES={"blog": "moved"})
    assert (told.code, plan(told)) == (0, [])


def test_a_squashed_migration_in_place_of_others(blog: Project) -> None:
    blog.migrations("blog", {"0002_next": source(UNSAFE)})
    commit_all(blog.path)
    squashed = source(
        CREATE,
        UNSAFE,
        dependencies=[],
        replaces='[("blog", "0001_initial"), ("blog", "0002_next")]',
    )
    blog.migrations("blog", {"0001_squashed": squashed})
    run_git(blog.path, "rm", "-q", "blog/migrations/0002_next.py")
    stage(blog)
    told = brought(blog)
    assert (told.code, plan(told)) == (0, [])


def test_a_copy_is_new(blog: Project) -> None:
    blog.app("shop", {"0001_initial": source(CREATE)})
    stage(blog)
    assert plan(brought(blog)) == ["shop.0001_initial"]


def test_what_needs_something_that_is_not_staged(blog: Project) -> None:
    next_one = source(UNSAFE, dependencies=[("blog", "0002_next")])
    blog.migrations("blog", {"0002_next": source(ADD), "0003_next": next_one})
    stage(blog, "blog/migrations/0003_next.py")
    told = brought(blog)
    assert told.code == 2
    assert told.err == (
        'Migration "blog.0003_next" needs "blog.0002_next", which is not to be '
        'committed: add that, too, with "git add".'
    )
    # What git ignores is nobody's to commit.
    (blog.path / ".gitignore").write_text("0002_next.py\n")
    assert brought(blog).labels == ["SZ007 blog.0003_next"]


def test_bad_input(blog: Project) -> None:
    with blog.active():
        for arguments, said in (
            (["--tree=HEAD"], "--tree is what a commit would have: add --since HEAD."),
            (["--since=HEAD", "--tree=no\nwhere"], 'There is no tree "no\\nwhere" in'),
            (["--since=HEAD", "--tree=--all"], 'There is no tree "--all" in'),
            (["--since=HEAD", "--tree="], 'There is no tree "" in'),
        ):
            told = check(*arguments)
            assert (told.code, told.out) == (2, "")
            assert told.err.startswith(said)
            assert "\n" not in told.err
