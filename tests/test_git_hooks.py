"""The audit in git's hooks: real repositories, real commits."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.command_helpers import CREATE, REMOVE, Project, source
from tests.test_git import CONFIG, commit_all, run_git

pytest_plugins = ["tests.command_fixtures"]

HOOKS = Path(__file__).parent.parent / ".pre-commit-hooks.yaml"
# Stands in for an interpreter and an audit, which take a second: notes how it was
# called, and does what the file "status" says.
PYTHON = """\
#!/bin/sh
{
    printf '%s\\0' "$PWD" "$0" "$@"
    [ -z "${GIT_DIR+set}" ] || printf 'GIT_DIR\\0'
    [ -z "${GIT_INDEX_FILE+set}" ] || printf 'GIT_INDEX_FILE\\0'
    printf '%s\\0' END
} >>calls
echo finding
exit "$(cat status)"
"""
ALLOW = "[allow-unsafe-migrations]"
SINCE = ["--since", "HEAD"]


def git(
    folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run git, which may fail, with its hooks."""
    names = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    options = [part for value in CONFIG for part in ("-c", value)]
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *options, *arguments],
        cwd=folder,
        env=names | own | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def python(tmp_path_factory: pytest.TempPathFactory) -> None:
    Site.python = str(tmp_path_factory.mktemp("bin") / "python")
    executable(Path(Site.python), PYTHON)


class Site:
    """A repository with a project in it, in a folder below."""

    python: str

    def __init__(self, root: Path, folder: str = ".") -> None:
        self.root = root
        self.folder = root / folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write("manage.py", "")
        self.write("status", "1")
        (root / ".gitignore").write_text("calls\nstatus\n")
        self.number = 0

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def hook(self) -> Path:
        return self.root / ".git/hooks/commit-msg"

    def insert(self, *arguments: str) -> str:
        """Run the command as this project's ``manage.py`` would."""
        out = StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(self.folder / "manage.py")])
            patch.setattr(sys, "executable", self.python)
            call_command("insert_git_hooks", *arguments, stdout=out)
        return out.getvalue()

    def refusal(self, *arguments: str) -> CommandError:
        with pytest.raises(CommandError) as caught:
            self.insert(*arguments)
        return caught.value

    def commit(
        self, message: str = "m", *options: str, name: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Change a file and commit it, as people do."""
        self.number += 1
        file = self.root / (name or f"{self.number}.py")
        file.write_text(f"# {self.number}\n")
        run_git(self.root, "add", "--", os.path.relpath(file, self.root))
        return self.git("commit", "-m", message, *options)

    def git(
        self, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return git(self.root, *arguments, **variables)

    def calls(self) -> list[list[str]]:
        """How the audit was called since the last look."""
        file = self.folder / "calls"
        text = file.read_text() if file.exists() else ""
        file.unlink(missing_ok=True)
        return [call.split("\0") for call in text.split("\0END\0")[:-1]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository to copy, which takes less than to make another."""
    root = tmp_path_factory.mktemp("template") / "site"
    commit_all(Site(root).root)
    return root


@pytest.fixture
def site(tmp_path: Path, template: Path) -> Site:
    root = tmp_path / "site"
    shutil.copytree(template, root)
    return Site(root)


def executable(path: Path, text: str) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path.read_bytes()


# What a commit does


def test_a_commit_is_audited(site: Site) -> None:
    said = site.insert()
    assert said == f'The hook "{site.hook}" audits migrations from now on.\n'
    done = site.commit()
    assert done.returncode == 1
    assert done.stderr == (
        f'finding\nTo commit it nevertheless, write "{ALLOW}" into the message.\n'
    )
    tree = run_git(site.root, "write-tree")
    assert site.calls() == [
        [
            *(str(site.root), site.python, "manage.py", "check_migrations"),
            *(*SINCE, "--tree", tree),
        ]
    ]
    site.write("status", "0")
    done = site.commit()
    assert done.returncode == 0
    assert ALLOW not in done.stderr
    assert len(site.calls()) == 1


@pytest.mark.parametrize(
    ("message", "audited"),
    [
        (f"m {ALLOW}", False),
        (f"m\n\nbecause\n{ALLOW}.\n", False),
        ("m [allow-unsafe-migration]", True),
        (f"m {ALLOW.upper()}", True),
        ("m aallow-unsafe-migrationsa", True),
        # As in the comment that git proposes, which lists files.
        (f"m\n#\tnew file: {ALLOW}.py", True),
        # As of "git commit --verbose", which shows the difference below it.
        (f"m\n# {'-' * 24} >8 {'-' * 24}\n+{ALLOW}", True),
    ],
)
def test_a_message_skips_it(site: Site, message: str, audited: bool) -> None:
    site.insert()
    assert site.commit(message).returncode == audited
    assert len(site.calls()) == audited


def test_comments_are_what_git_takes_for_comments(site: Site) -> None:
    site.insert()
    run_git(site.root, "config", "core.commentChar", ";")
    assert site.commit(f"m\n; {ALLOW}").returncode == 1
    assert site.commit(f"m\n# {ALLOW}").returncode == 0


@pytest.mark.parametrize(
    "shell", ["/bin/sh", "/bin/bash", "/bin/bash -eu", "/usr/bin/env bash"]
)
def test_a_long_message_in_any_shell(site: Site, shell: str) -> None:
    options = "euo pipefail" if "bash" in shell else "eu"
    executable(site.hook, f"#!{shell}\nset -{options}\necho kept\n")
    site.insert()
    (site.root / "message").write_text(f"{ALLOW}\n\n" + "long line\n" * 50_000)
    (site.root / "1.py").touch()
    run_git(site.root, "add", "1.py")
    done = site.git("commit", "--quiet", "-F", "message")
    assert (done.returncode, done.stderr) == (0, "kept\n")
    assert site.commit().returncode == 1


def test_commits_without_code_are_not(site: Site) -> None:
    site.insert()
    assert site.commit(name="a.txt").returncode == 0
    assert site.commit("m", "--allow-empty", name="b.txt").returncode == 0
    assert site.calls() == []
    assert site.commit(name="sub;dir.py").returncode == 1


def test_the_first_commit_is_not(tmp_path: Path) -> None:
    site = Site(tmp_path)
    run_git(tmp_path, "init")
    site.insert()
    assert site.commit().returncode == 0
    assert site.commit().returncode == 1


def test_a_merge_is_not(site: Site) -> None:
    run_git(site.root, "checkout", "-q", "-b", "topic")
    site.commit()
    run_git(site.root, "checkout", "-q", "main")
    site.commit(name="other.py")
    site.insert()
    done = site.git("merge", "--no-ff", "-m", "merge", "topic")
    assert done.returncode == 0, done.stderr
    assert site.calls() == []


def test_all_that_is_committed_at_once(site: Site) -> None:
    """Git gives the hook an index of its own then."""
    site.insert()
    text = "#\n"
    (site.root / "manage.py").write_text(text)
    for options in (["-a"], ["manage.py"]):
        assert site.git("commit", "-m", "m", *options).returncode == 1
        [call] = site.calls()
        assert run_git(site.root, "show", f"{call[-1]}:manage.py") == text.strip()


def test_what_was_there_before_runs_after_it(site: Site) -> None:
    executable(site.hook, '#!/bin/sh\n# ours\necho kept >>calls2\nexec true "$1"\n')
    site.insert()
    assert site.commit().returncode == 1
    assert not (site.root / "calls2").exists()
    site.write("status", "0")
    assert site.commit().returncode == 0
    assert (site.root / "calls2").read_text() == "kept\n"
    assert len(site.calls()) == 2


def test_a_hook_that_names_no_program(site: Site) -> None:
    """Git has sh run it, though the system wouldn't."""
    executable(site.hook, "echo kept >&2\n")
    site.insert()
    assert site.commit().returncode == 1
    site.write("status", "0")
    assert site.commit().stderr.endswith("kept\n")


@pytest.mark.parametrize("folder", ["back end/it's $(touch ran)", "-n", "lïne\nend"])
def test_a_project_in_a_folder(tmp_path: Path, folder: str) -> None:
    site = Site(tmp_path / "site", folder)
    commit_all(site.root)
    site.insert()
    assert site.commit().returncode == 1
    assert [call[0] for call in site.calls()] == [str(site.folder)]
    assert "audits migrations already" in site.insert()
    assert site.insert("--remove")
    assert not site.hook.exists()
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("name", ["python", "python3"])
def test_an_interpreter_that_has_gone(site: Site, tmp_path: Path, name: str) -> None:
    real, site.python = site.python, str(tmp_path / "gone")
    site.insert()
    path = tmp_path / "bin"
    path.mkdir()
    (path / name).symlink_to(real)
    for program in ("git", "sh", "sed", "grep", "cat"):
        (path / program).symlink_to(str(shutil.which(program)))
    (site.root / "1.py").touch()
    run_git(site.root, "add", "--all")
    assert site.git("commit", "-m", "m", PATH=str(path)).returncode == 1
    assert len(site.calls()) == 1


def test_a_branch_without_the_project(site: Site) -> None:
    site.insert()
    run_git(site.root, "rm", "-q", "manage.py")
    assert site.commit().returncode == 0


def test_nothing_that_people_write_is_run(site: Site) -> None:
    site.insert()
    hostile = "$(touch ran) `touch ran` '; touch ran; ' \" & touch ran | %s \\ -e"
    run_git(site.root, "checkout", "-q", "-b", "$(touch${IFS}ran)';touch${IFS}ran;'")
    assert site.commit(hostile, name="$(touch ran)';touch ran;'.py").returncode == 1
    assert site.commit(f"{hostile}\n{ALLOW}", name="-n.py").returncode == 0
    site.write("status", "0")
    assert site.commit(f"-e {hostile}\n\n\0".rstrip("\0")).returncode == 0
    assert not list(site.root.rglob("ran"))


def test_what_git_tells_its_hooks_stays_with_it(site: Site, tmp_path: Path) -> None:
    """A project that asks git something, as for its version, gets its own answer."""
    run_git(site.root, "worktree", "add", "-q", str(tmp_path / "tree"))
    tree = Site(tmp_path / "tree")
    site.insert()
    # In a worktree git sets GIT_DIR.
    assert tree.commit().returncode == 1
    [call] = tree.calls()
    assert call[:-1] == [
        *(str(tree.root), site.python, "manage.py", "check_migrations"),
        *(*SINCE, "--tree"),
    ]


# Where the hook is


def test_a_worktree_has_the_hooks_of_its_repository(site: Site, tmp_path: Path) -> None:
    run_git(site.root, "worktree", "add", "-q", str(tmp_path / "tree"))
    tree = Site(tmp_path / "tree")
    assert f'"{site.hook}"' in tree.insert()
    assert site.commit().returncode == 1
    assert tree.commit().returncode == 1
    assert len(tree.calls()) == 1


def test_a_submodule(site: Site, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    commit_all(outer)
    run_git(outer, "submodule", "add", str(site.root), "sub")
    inner = Site(outer / "sub")
    assert f'"{outer}/.git/modules/sub/hooks/commit-msg"' in inner.insert()
    assert inner.commit().returncode == 1


def test_a_folder_of_hooks_that_is_tracked(site: Site) -> None:
    run_git(site.root, "config", "core.hooksPath", ".hooks")
    site.insert()
    hook = site.root / ".hooks/commit-msg"
    assert not site.hook.exists()
    assert os.access(hook, os.X_OK)
    # Others have their interpreter elsewhere.
    assert site.python not in hook.read_text()
    path = f"{Path(site.python).parent}{os.pathsep}{os.environ['PATH']}"
    (site.root / "1.py").touch()
    run_git(site.root, "add", "--all")
    assert site.git("commit", "-m", "m", PATH=path).returncode == 1
    assert len(site.calls()) == 1


def test_a_folder_of_hooks_that_repositories_share(site: Site, tmp_path: Path) -> None:
    shared = tmp_path / "shared hooks"
    other = Site(tmp_path / "other")
    commit_all(other.root)
    for one in (site, other):
        run_git(one.root, "config", "core.hooksPath", str(shared))
    site.insert()
    assert site.commit().returncode == 1
    assert other.commit().returncode == 0
    # Each has a block of its own.
    other.insert()
    assert other.commit().returncode == 1
    assert len(site.calls()) == len(other.calls()) == 1
    site.insert("--remove")
    assert site.commit().returncode == 0
    assert other.commit().returncode == 1


def test_hooks_that_are_switched_off(site: Site) -> None:
    run_git(site.root, "config", "core.hooksPath", os.devnull)
    said = str(site.refusal())
    assert said.startswith(f'The hook "{os.devnull}/commit-msg" can\'t be changed: ')


def test_a_link(site: Site) -> None:
    target = site.root / "tools/commit-msg"
    before = executable(target, "#!/bin/sh\necho kept\n")
    site.hook.parent.mkdir(exist_ok=True)
    site.hook.symlink_to(target)
    site.insert()
    assert site.hook.is_symlink()
    assert b"check_migrations" in target.read_bytes()
    assert site.python not in target.read_text()
    site.insert("--remove")
    assert site.hook.is_symlink()
    assert target.read_bytes() == before


# What is in it


def test_again_and_back(site: Site) -> None:
    site.insert()
    first = site.hook.read_bytes()
    stamp = site.hook.stat().st_mtime_ns, site.hook.stat().st_ino
    assert site.insert() == f'The hook "{site.hook}" audits migrations already.\n'
    assert site.hook.read_bytes() == first
    assert (site.hook.stat().st_mtime_ns, site.hook.stat().st_ino) == stamp
    said = site.insert("--remove")
    assert said == f'The hook "{site.hook}" audits migrations no more.\n'
    assert not site.hook.exists()
    said = site.insert("--remove")
    assert said == f'The hook "{site.hook}" doesn\'t audit migrations.\n'


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/ksh",
        "#!/usr/bin/env -S bash -e\necho\n",
        "#! /bin/dash\r\necho\r\n",
        "#!/usr/bin/zsh\necho no end",
        "# a comment\n\n\nexit 0\n",
        "#!/bin/sh\necho '\udcff'\n",
    ],
)
def test_an_existing_hook_is_kept_to_the_byte(site: Site, text: str) -> None:
    raw = text.encode("utf-8", "surrogateescape")
    site.hook.parent.mkdir(exist_ok=True)
    site.hook.write_bytes(raw)
    site.hook.chmod(0o700)
    site.insert()
    found = site.hook.read_bytes()
    assert found.startswith(raw.split(b"\n")[0] if raw.startswith(b"#!") else b"# >>>")
    assert found.endswith(b"".join(raw.split(b"\n", 1)[1:]))
    assert site.hook.stat().st_mode & 0o777 == 0o700
    site.insert()
    assert site.hook.read_bytes() == found
    site.insert("--remove")
    assert site.hook.read_bytes().rstrip() == raw.rstrip()


def test_a_block_of_an_older_version_is_replaced(site: Site) -> None:
    executable(site.hook, "#!/bin/sh\necho kept\n")
    site.insert()
    text = site.hook.read_text()
    site.hook.write_text(text.replace("check_migrations", "old") + "echo more\n")
    site.insert()
    assert site.hook.read_text() == f"{text}echo more\n"


def test_two_projects_in_a_repository(site: Site) -> None:
    second = Site(site.root, "second")
    site.insert()
    second.insert()
    second.write("status", "0")
    assert site.commit().returncode == 1
    assert len(site.calls()) == len(second.calls()) == 1
    site.insert("--remove")
    assert site.commit().returncode == 0
    assert site.calls() == []
    assert len(second.calls()) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("#!/usr/bin/env python3\nprint()\n", 'a script for "python3"'),
        ("#!/usr/bin/env -S A=b fish -x\n", 'a script for "fish"'),
        ("#!/usr/bin/perl -w\n", 'a script for "perl"'),
        ("#!C:\\node\\node.exe\n", 'a script for "node"'),
        ("#!/bin/tcsh\n", 'a script for "tcsh"'),
        ("#!\n", 'a script for "?"'),
        ("\x7fELF\0\0", "no script"),
    ],
)
def test_what_cannot_be_extended(site: Site, text: str, what: str) -> None:
    before = executable(site.hook, text)
    error = site.refusal()
    assert error.returncode == 1
    said, command = str(error).split("\n")
    assert said == (
        f'The hook "{site.hook}" stays as it is: it is {what}, so let it run this, and '
        "fail if this fails:"
    )
    assert site.hook.read_bytes() == before
    # What it says can be pasted.
    subprocess.run(["sh", "-c", command], cwd=site.root, check=False)
    assert len(site.calls()) == 1
    assert "doesn't audit" in site.insert("--remove")


def test_what_to_paste_for_a_project_in_a_folder(tmp_path: Path) -> None:
    site = Site(tmp_path, "-b 'c'")
    commit_all(site.root)
    executable(site.hook, "#!/usr/bin/perl\n")
    command = str(site.refusal()).split("\n")[1]
    subprocess.run(["sh", "-c", command], cwd=site.root, check=False)
    assert [call[0] for call in site.calls()] == [str(site.folder)]


def test_a_hook_that_is_switched_off_is_not_switched_on(site: Site) -> None:
    before = executable(site.hook, "#!/bin/sh\ntouch ran\n")
    site.hook.chmod(0o644)
    error = site.refusal()
    assert error.returncode == 1
    assert "isn't executable" in str(error)
    assert site.hook.read_bytes() == before
    subprocess.run(["sh", "-c", str(error).split("\n")[1]], check=True)
    site.insert()
    assert site.commit().returncode == 1


def test_ours_is_switched_on(site: Site) -> None:
    site.insert()
    site.hook.chmod(0o644)
    site.insert()
    assert os.access(site.hook, os.X_OK)


def test_half_a_block(site: Site) -> None:
    site.insert()
    before = site.hook.read_text().rpartition("# <<<")[0]
    site.hook.write_text(before)
    for arguments in [(), ("--remove",)]:
        assert "a line is missing" in str(site.refusal(*arguments))
    assert site.hook.read_text() == before


# What goes wrong


def test_no_repository(tmp_path: Path) -> None:
    error = Site(tmp_path).refusal()
    assert error.returncode == 2
    assert str(error).startswith(f'"{tmp_path}" is in no git repository')


def test_a_folder_in_the_way(site: Site) -> None:
    site.hook.mkdir(parents=True)
    said = str(site.refusal())
    assert said.startswith(f'The hook "{site.hook}" can\'t be changed: ')
    assert "\n" not in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(site: Site) -> None:
    site.hook.parent.chmod(0o500)
    assert "can't be changed" in str(site.refusal())


def test_nothing_is_left_of_a_hook_that_cannot_be_written(site: Site) -> None:
    site.hook.parent.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:

        def replace(*args: object) -> None:
            raise OSError("no")

        patch.setattr(os, "replace", replace)
        assert str(site.refusal()).endswith(": no")
    left = [p for p in site.hook.parent.iterdir() if p.name.startswith("commit-msg")]
    assert [p.name for p in left if p.suffix != ".sample"] == []


# Run in other ways


def test_django_admin(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings aren't in a file of their own then."""
    monkeypatch.chdir(site.root)
    monkeypatch.setattr(sys, "argv", ["/lib/django/__main__.py"])
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config")
    call_command("insert_git_hooks", verbosity=0)
    line = next(
        line for line in site.hook.read_text().splitlines() if "exec" in line
    ).strip()
    words = shlex.split(line.partition("</dev/null")[0])
    assert words == [
        *("exec", "$python", "-m", "django", "check_migrations", *SINCE),
        *("--settings=config", "--tree", "$tree"),
    ]


# With an audit


@pytest.fixture
def blog(project: Project) -> Project:
    """Return a project whose first migration is committed, and without a database."""
    project.app("blog", {"0001_initial": source(CREATE)})
    engine = "django.db.backends.sqlite3"
    project.settings["DATABASES"] = {"default": {"ENGINE": engine, "NAME": "/no/where"}}
    project.write_settings()
    commit_all(project.path)
    return project


def remove_too_early(project: Project) -> None:
    unsafe = source(REMOVE, stage="Stage.PRE_DEPLOY")
    project.migrations("blog", {"0002_remove": unsafe})
    run_git(project.path, "add", "--all")


def test_an_unsafe_migration_is_not_committed(blog: Project) -> None:
    run = blog.manage("insert_git_hooks")
    assert run.returncode == 0, run.stderr
    remove_too_early(blog)
    done = git(blog.path, "commit", "-m", "m")
    assert done.returncode == 1
    assert "blog.0002_remove" in done.stderr
    assert done.stderr.endswith(f'write "{ALLOW}" into the message.\n')
    assert git(blog.path, "commit", "-m", f"m\n\n{ALLOW}").returncode == 0


def test_the_hook_for_pre_commit(blog: Project) -> None:
    """As pre-commit runs it: the entry is split into words, and no shell reads it."""
    hook = dict(re.findall(r"^(?:- |  )(\w+): (.*)$", HOOKS.read_text(), re.MULTILINE))
    assert (hook["language"], hook["pass_filenames"]) == ("system", "false")
    words = [*shlex.split(hook["entry"]), *hook["args"].strip("[]").split(", ")]
    assert words[:2] == ["python", "manage.py"]

    def changed() -> list[str]:
        names = run_git(blog.path, "diff", "--cached", "--name-only").splitlines()
        return [name for name in names if re.search(hook["files"], name)]

    assert changed() == []
    result = blog.manage(*words[2:])
    assert result.returncode == 0, result.output
    remove_too_early(blog)
    assert changed() == ["blog/migrations/0002_remove.py"]
    result = blog.manage(*words[2:])
    assert result.returncode == 1, result.output
    assert "blog.0002_remove" in result.stdout
