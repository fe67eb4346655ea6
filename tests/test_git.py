"""Reading git repositories, real ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syzygy.git import Blob, GitError, Repository

CONFIG = [
    "user.name=A",
    "user.email=a@example.com",
    "init.defaultBranch=main",
    # None of the samples of hooks, which take longer to remove than the rest.
    "init.templateDir=",
]


def run_git(folder: Path, *arguments: str) -> str:
    """Run git as it is without anybody's configuration, and return what it says."""
    options = [part for value in CONFIG for part in ("-c", value)]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    done = subprocess.run(
        ["git", *options, "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=environment | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit_all(folder: Path) -> str:
    """Commit all files of a repository, which is made first, and return the id."""
    if not (folder / ".git").exists():
        run_git(folder, "init")
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--allow-empty", "--message", "m")
    return run_git(folder, "rev-parse", "HEAD")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    (path / "a.py").write_text("a\n")
    (path / "b").mkdir()
    (path / "b/c.py").write_text("c\n")
    (path / "b/d.txt").write_text("d\n")
    commit_all(path)
    return path


def read(folder: Path, ref: str = "HEAD", suffix: str = "") -> dict[str, bytes]:
    repository = Repository.around(str(folder))
    files = repository.files(repository.commit(ref), suffix)
    contents = repository.contents(files.values())
    return {path: contents[blob] for path, blob in files.items()}


def error(function: Callable[[], object]) -> str:
    with pytest.raises(GitError) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestAround:
    def test_a_folder_in_it(self, folder: Path) -> None:
        assert Repository.around(str(folder)).root == str(folder)
        assert Repository.around(str(folder / "b")).root == str(folder)

    def test_a_root_with_a_line_end(self, tmp_path: Path) -> None:
        path = tmp_path / "odd ü\n"
        path.mkdir()
        commit_all(path)
        assert Repository.around(str(path)).root == str(path)

    def test_a_worktree(self, folder: Path, tmp_path: Path) -> None:
        run_git(folder, "worktree", "add", str(tmp_path / "other"))
        repository = Repository.around(str(tmp_path / "other/b"))
        assert repository.root == str(tmp_path / "other")
        assert repository.has(str(tmp_path / "other/b"))

    def test_none(self, tmp_path: Path) -> None:
        said = error(lambda: Repository.around(str(tmp_path)))
        assert said.startswith(f'"{tmp_path}" is in no git repository')

    def test_no_folder(self, tmp_path: Path) -> None:
        said = error(lambda: Repository.around(str(tmp_path / "no")))
        assert said == f'There is no folder "{tmp_path / "no"}".'

    def test_bare(self, tmp_path: Path) -> None:
        run_git(tmp_path, "init", "--bare")
        assert "has no work tree" in error(lambda: Repository.around(str(tmp_path)))

    def test_no_git(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(folder))
        said = error(lambda: Repository.around(str(folder)))
        assert said == "Git isn't installed, or isn't on the PATH."

    def test_a_program_that_does_not_run(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "git").write_bytes(b"\0")
        (folder / "git").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        assert "can't be run" in error(lambda: Repository.around(str(folder)))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_it_is_of_somebody_else(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = folder.with_name("it's odd")
        folder.rename(odd)
        for path in (odd, odd / ".git"):
            os.chown(path, 12345, 12345)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder.parent / "config"))
        said = error(lambda: Repository.around(str(odd / "b")))
        assert "belongs to another user" in said
        command = said[said.index("git config") :]
        subprocess.run(["sh", "-c", command], check=True)
        assert Repository.around(str(odd / "b")).root == str(odd)

    def test_the_surroundings_of_a_hook_have_no_say(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "else.py").touch()
        commit_all(elsewhere)
        monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(elsewhere))
        monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
        monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
        monkeypatch.setenv("GIT_GLOB_PATHSPECS", "1")
        monkeypatch.setenv("GIT_TRACE", "1")
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        assert Repository.around(str(folder)).root == str(folder)
        assert set(read(folder)) == {"a.py", "b/c.py", "b/d.txt"}

    def test_what_people_configure_for_git_stays(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder))
        error(lambda: Repository.around(str(folder / "b")))


class TestCommit:
    def test_refs(self, folder: Path) -> None:
        first = run_git(folder, "rev-parse", "HEAD")
        run_git(folder, "tag", "-a", "v1", "-m", "m")
        run_git(folder, "branch", "ünï")
        second = commit_all(folder)
        commit = Repository.around(str(folder)).commit
        assert commit("v1") == commit("ünï") == commit("HEAD~1") == commit(first)
        assert commit(first[:10]) == first
        assert commit("HEAD") == commit("main") == second

    @pytest.mark.parametrize(
        "ref", ["", "--upload-pack=x", "-h", "--all", "a\0b", "main..main", "HEAD:a.py"]
    )
    def test_what_is_none(self, folder: Path, ref: str) -> None:
        assert error(lambda: Repository.around(str(folder)).commit(ref))

    def test_it_is_shown_in_one_line(self, folder: Path) -> None:
        said = error(lambda: Repository.around(str(folder)).commit("a\nb\x1b[1m"))
        assert '"a\\nb\\x1b[1m"' in said

    def test_no_commit_yet(self, tmp_path: Path) -> None:
        run_git(tmp_path, "init")
        said = error(lambda: Repository.around(str(tmp_path)).commit("HEAD"))
        assert said == f'The repository at "{tmp_path}" has no commit yet.'

    def test_no_remote_no_hint(self, folder: Path) -> None:
        said = error(lambda: Repository.around(str(folder)).commit("origin/main"))
        assert said == (
            f'There is no commit "origin/main" in the repository at "{folder}".'
        )

    @pytest.mark.parametrize(
        ("ref", "hint"),
        [
            ("origin/new", "run git fetch origin new"),
            ("new", "run git fetch origin new"),
            ("feature/x", "run git fetch origin feature/x"),
            ("a;b", "run git fetch origin 'a;b'"),
            ("topic", 'did you mean "origin/topic"?'),
        ],
    )
    def test_hints(self, folder: Path, tmp_path: Path, ref: str, hint: str) -> None:
        run_git(folder, "branch", "topic")
        run_git(tmp_path, "clone", str(folder), "clone")
        clone = tmp_path / "clone"
        said = error(lambda: Repository.around(str(clone)).commit(ref))
        assert said.endswith(f'in the repository at "{clone}": {hint}')

    @pytest.mark.parametrize("ref", ["origin/topic", "HEAD~1"])
    def test_the_hint_of_a_shallow_clone_works(
        self, folder: Path, tmp_path: Path, ref: str
    ) -> None:
        run_git(folder, "branch", "topic")
        commit_all(folder)
        run_git(tmp_path, "clone", "--depth=1", f"file://{folder}", "clone")
        clone = tmp_path / "clone"
        said = error(lambda: Repository.around(str(clone)).commit(ref))
        assert f'in the shallow clone at "{clone}": run git fetch -' in said
        run_git(clone, *said[said.index("git fetch") :].split()[1:])
        assert set(read(clone, ref)) == {"a.py", "b/c.py", "b/d.txt"}


class TestFiles:
    def test_contents(self, folder: Path) -> None:
        assert read(folder) == {"a.py": b"a\n", "b/c.py": b"c\n", "b/d.txt": b"d\n"}
        assert read(folder / "b", suffix=".py") == {"a.py": b"a\n", "b/c.py": b"c\n"}

    def test_of_the_commit_not_of_the_work_tree(self, folder: Path) -> None:
        (folder / "a.py").write_text("other\n")
        (folder / "new.py").touch()
        (folder / "b/c.py").unlink()
        run_git(folder, "add", "--all")
        assert read(folder) == {"a.py": b"a\n", "b/c.py": b"c\n", "b/d.txt": b"d\n"}
        assert (folder / "a.py").read_text() == "other\n"

    def test_odd_names_and_contents(self, folder: Path) -> None:
        names = ["with space", "ü", "line\nend", 'quo"te', "-x", ":(glob)*", "tab\t"]
        texts = [b"", b"\n", b"\0\n", b"x" * 100_000, b"a\nb blob 3\n", b"\xff", b"a\n"]
        given = dict(zip(names, texts, strict=True))
        for name, text in given.items():
            (folder / name).write_bytes(text)
        raw = os.fsencode(folder) + b"/\xff"
        with open(raw, "wb") as file:
            file.write(b"r")
        commit_all(folder)
        found = read(folder)
        assert {name: found[name] for name in names} == given
        assert found[os.fsdecode(b"\xff")] == b"r"
        repository = Repository.around(str(folder))
        assert repository.differing(repository.files(repository.commit("HEAD"))) == []

    def test_links_and_submodules(self, folder: Path, tmp_path: Path) -> None:
        (folder / "link").symlink_to("a.py")
        run_git(tmp_path, "clone", str(folder), "inner")
        run_git(folder, "submodule", "add", str(tmp_path / "inner"), "sub")
        commit_all(folder)
        repository = Repository.around(str(folder))
        files = repository.files(repository.commit("HEAD"))
        assert set(files) == {".gitmodules", "a.py", "b/c.py", "b/d.txt", "link"}
        assert files["link"].is_link
        assert repository.differing(files) == []
        (folder / "link").unlink()
        (folder / "link").write_text("a.py")
        assert repository.differing(files) == ["link"]

    def test_differing(self, folder: Path) -> None:
        repository = Repository.around(str(folder))
        files = repository.files(repository.commit("HEAD"))
        # The index has no say, whatever it was told.
        run_git(folder, "update-index", "--assume-unchanged", "a.py")
        (folder / "a.py").write_text("b\n")
        (folder / "b/c.py").unlink()
        os.utime(folder / "b/d.txt", (1, 1))
        assert repository.differing(files) == ["a.py", "b/c.py"]

    def test_sha256(self, tmp_path: Path) -> None:
        run_git(tmp_path, "init", "--object-format=sha256")
        (tmp_path / "a").write_text("a")
        commit_all(tmp_path)
        repository = Repository.around(str(tmp_path))
        files = repository.files(repository.commit("HEAD"))
        assert len(files["a"].id) == 64
        assert repository.differing(files) == []

    def test_a_content_that_is_not_there(self, folder: Path) -> None:
        repository = Repository.around(str(folder))
        blob = Blob("0" * 40)
        assert "git fetch --refetch" in error(lambda: repository.contents([blob]))

    def test_few_processes(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(100):
            (folder / f"{number}.py").write_text(str(number))
        commit_all(folder)
        runs = []
        original = subprocess.run

        def run(*args: Any, **kwargs: Any) -> Any:
            runs.append(args)
            return original(*args, **kwargs)

        monkeypatch.setattr(subprocess, "run", run)
        assert len(read(folder)) == 103
        assert len(runs) == 4


class TestPlaces:
    def test_has(self, folder: Path, tmp_path: Path) -> None:
        run_git(tmp_path, "clone", str(folder), str(folder / "nested"))
        (folder / "link").symlink_to(tmp_path)
        (tmp_path / "into").symlink_to(folder / "b")
        repository = Repository.around(str(folder))
        assert repository.has(str(folder))
        assert repository.has(str(folder / "b"))
        assert repository.has(str(tmp_path / "into"))
        assert not repository.has(str(folder / "nested"))
        assert not repository.has(str(folder / "nested/b"))
        assert not repository.has(str(folder / "link"))
        assert not repository.has(str(tmp_path))
        assert repository.path(str(tmp_path / "into")) == "b"

    def test_ignored(self, folder: Path) -> None:
        (folder / ".gitignore").write_text("*.txt\n/out\n")
        paths = ["out/x.py", "b/d.txt", "new\n.txt", "ü.txt", "a.py", "-n.txt"]
        ignored = Repository.around(str(folder)).ignored(paths)
        # "b/d.txt" is tracked.
        assert ignored == {"out/x.py", "new\n.txt", "ü.txt", "-n.txt"}
        assert Repository.around(str(folder)).ignored([]) == set()
        assert Repository.around(str(folder)).ignored(["a.py"]) == set()
