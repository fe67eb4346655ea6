"""A small reader of git repositories: what files there were at a commit.

Never through a shell, without prompts, and nothing is written. The work tree itself is
compared by content, so neither the index nor anybody's configuration has a say in what
differs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from syzygy.hosting import one_line

# Settings for those who run git, rather than what git tells its hooks and itself of the
# repository at hand: a pre-commit hook has GIT_DIR, which would overrule the folder.
_KEPT = (
    "GIT_ASKPASS",
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXEC_PATH",
    "GIT_HTTP",
    "GIT_PROXY",
    "GIT_SSH",
    "GIT_SSL",
)
# "core.fsmonitor" may name a program to run.
_OPTIONS = ("--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false")
_LINK = b"120000"
# What is more than a name: "HEAD~2", "main@{yesterday}", ":/text".
_EXPRESSION = re.compile(r"[~^:@{ ]")


class GitError(ValueError):
    """Git can't tell what it was asked for; the message is one line for people."""


class Blob(NamedTuple):
    """A file's content by its id. That of a symbolic link is what it points at."""

    id: str
    is_link: bool = False


@dataclass(frozen=True)
class Repository:
    """A repository with a work tree, whose topmost folder is ``root``."""

    root: str

    @classmethod
    def around(cls, folder: str) -> Repository:
        """The repository that a folder lies in.

        Raises :class:`GitError` if there is none, or none that git agrees to read.
        """
        if not os.path.isdir(folder):
            raise GitError(f'There is no folder "{folder}".')
        done = _run(folder, "rev-parse", "--show-toplevel")
        if done.returncode:
            raise GitError(_why_no_repository(folder, done.stderr))
        root = os.fsdecode(done.stdout.removesuffix(b"\n"))
        return cls(os.path.realpath(root))

    def commit(self, ref: str) -> str:
        """The id of the commit that a ref, a tag or another expression stands for.

        Raises :class:`GitError` that says how to fetch it if it isn't there.
        """
        if not ref or ref.startswith("-") or "\0" in ref:
            raise GitError(f"{_quoted(ref)} can't be the name of a commit.")
        commit = self._parse(f"{ref}^{{commit}}")
        if commit is None:
            raise GitError(self._why_no_commit(ref))
        return commit

    def tree(self, tree: str) -> str:
        """The id of the tree that an id, a commit or an expression stands for.

        Raises :class:`GitError` if there is none.
        """
        found = None
        if tree and not tree.startswith("-") and "\0" not in tree:
            found = self._parse(f"{tree}^{{tree}}")
        if found is None:
            raise GitError(f'There is no tree {_quoted(tree)} in "{self.root}".')
        return found

    def files(self, commit: str, suffix: str = "") -> dict[str, Blob]:
        """The files of a commit or a tree whose names end so, by their paths in it.

        Those of submodules aren't among them.
        """
        listing = self._read("ls-tree", "-r", "-z", "--full-tree", commit)
        found = {}
        ending = os.fsencode(suffix)
        for entry in listing.split(b"\0"):
            if entry.endswith(ending) and entry:
                about, _, path = entry.partition(b"\t")
                mode, kind, name = about.split()
                if kind == b"blob":
                    found[os.fsdecode(path)] = Blob(name.decode(), mode == _LINK)
        return found

    def contents(self, blobs: Iterable[Blob]) -> dict[Blob, bytes]:
        """What is in the files, however many, read by one process.

        Raises :class:`GitError` if that can't be had, as in a clone without contents
        and without its server.
        """
        wanted = list(dict.fromkeys(blobs))
        if not wanted:
            return {}
        orders = "".join(f"{blob.id}\n" for blob in wanted).encode()
        answers = self._read("cat-file", "--batch", stdin=orders)
        found = {}
        start = 0
        for blob in wanted:
            end = answers.find(b"\n", start)
            head = answers[start:end].split()
            if len(head) != 3:
                raise GitError(
                    f'The repository at "{self.root}" lacks the content of a file '
                    f'("{blob.id}"): fetch it with "git fetch --refetch".'
                )
            start = end + 1
            found[blob] = answers[start : start + int(head[2])]
            start += len(found[blob]) + 1
        return found

    def differing(self, files: Mapping[str, Blob]) -> list[str]:
        """The paths that hold something else in the work tree, or nothing at all.

        So do those whose line ends git converts on the way.
        """
        return [path for path, blob in files.items() if self._id(path, blob) != blob.id]

    def has(self, folder: str) -> bool:
        """Whether a folder is of this repository, and of none that is nested in it.

        Symbolic links are followed. A submodule is a repository of its own.
        """
        folder = os.path.realpath(folder)
        while folder != self.root:
            if os.path.lexists(os.path.join(folder, ".git")):
                return False
            above = os.path.dirname(folder)
            if above == folder:
                return False
            folder = above
        return True

    def path(self, file: str) -> str:
        """The path below the root, as git has it, of a file or a folder in it."""
        path = os.path.relpath(os.path.realpath(file), self.root)
        return path.replace(os.sep, "/")

    def ignored(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that git was told to ignore, and that it doesn't track."""
        orders = b"".join(os.fsencode(path) + b"\0" for path in paths)
        if not orders:
            return set()
        done = _run(self.root, "check-ignore", "-z", "--stdin", stdin=orders)
        # It is 1 if it ignores none.
        if done.returncode not in (0, 1):
            raise GitError(_line(done.stderr))
        return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}

    def hooks(self) -> str:
        """The folder in which git looks for hooks, wherever people had it look."""
        # As git runs hooks at the root, that is what a relative "core.hooksPath" means.
        return self._path("--git-path", "hooks")

    def common(self) -> str:
        """The folder in which git keeps what all worktrees of the repository share."""
        return self._path("--git-common-dir")

    def _path(self, *question: str) -> str:
        answer = os.fsdecode(self._read("rev-parse", *question).removesuffix(b"\n"))
        return os.path.normpath(os.path.join(self.root, answer))

    def _id(self, path: str, blob: Blob) -> str | None:
        """The id that git would give to what the work tree has at the path."""
        file = os.path.join(self.root, path)
        try:
            if os.path.islink(file) != blob.is_link:
                return None
            if blob.is_link:
                content = os.fsencode(os.readlink(file))
            else:
                with open(file, "rb") as opened:
                    content = opened.read()
        except OSError:
            return None
        # https://git-scm.com/docs/gitformat-pack: ids are SHA-1, or SHA-256 by choice.
        algorithm = "sha1" if len(blob.id) == 40 else "sha256"
        digest = hashlib.new(algorithm, usedforsecurity=False)
        digest.update(b"blob %d\0" % len(content))
        digest.update(content)
        return digest.hexdigest()

    def _parse(self, revision: str) -> str | None:
        done = _run(
            self.root,
            *("rev-parse", "--verify", "--quiet", "--end-of-options", revision),
        )
        return None if done.returncode else done.stdout.decode().strip()

    def _why_no_commit(self, ref: str) -> str:
        if ref in ("HEAD", "@"):
            return f'The repository at "{self.root}" has no commit yet.'
        is_shallow = self._read("rev-parse", "--is-shallow-repository") == b"true\n"
        kind = "shallow clone" if is_shallow else "repository"
        said = f'There is no commit {_quoted(ref)} in the {kind} at "{self.root}"'
        hint = self._how_to_fetch(ref, is_shallow)
        return f"{said}: {hint}" if hint else f"{said}."

    def _how_to_fetch(self, ref: str, is_shallow: bool) -> str:
        remotes = os.fsdecode(self._read("remote")).split()
        if not remotes:
            return ""
        if _EXPRESSION.search(ref):
            return "run git fetch --unshallow" if is_shallow else ""
        for remote in remotes:
            if self._parse(f"refs/remotes/{remote}/{ref}^{{commit}}"):
                return f'did you mean "{remote}/{ref}"?'
        remote, slash, branch = ref.partition("/")
        if not slash or remote not in remotes:
            remote, branch = remotes[0], ref
        depth = ""
        if is_shallow:
            depth = "--depth=1 "
            if ref != branch:
                # A clone of one branch updates no other branch's ref unless told to.
                branch = f"{branch}:refs/remotes/{ref}"
        return f"run git fetch {depth}{shlex.quote(remote)} {shlex.quote(branch)}"

    def _read(self, *arguments: str, stdin: bytes = b"") -> bytes:
        done = _run(self.root, *arguments, stdin=stdin)
        if done.returncode:
            raise GitError(_line(done.stderr))
        return done.stdout


def _run(
    folder: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("git")
    if program is None:
        raise GitError("Git isn't installed, or isn't on the PATH.")
    try:
        return subprocess.run(  # noqa: S603 - no shell, and no option from outside
            [program, *_OPTIONS, *arguments],
            cwd=folder,
            env=_environment(),
            input=stdin,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise GitError(f'Git can\'t be run in "{folder}": {error}') from error


def _environment() -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT)
    }
    # Messages are read below.
    return inherited | {"LC_ALL": "C", "LANGUAGE": "C", "GIT_TERMINAL_PROMPT": "0"}


def _why_no_repository(folder: str, stderr: bytes) -> str:
    said = _line(stderr)
    if "dubious ownership" in said:
        return (
            f'The repository around "{folder}" belongs to another user, so git refuses '
            "to read it: if you trust it, run git config --global --add safe.directory "
            f"{shlex.quote(_unsafe_folder(stderr) or folder)}"
        )
    if "must be run in a work tree" in said:
        return f'The repository at "{folder}" has no work tree.'
    if "not a git repository" in said:
        return f'"{folder}" is in no git repository: run this in the project\'s folder.'
    return said


def _unsafe_folder(stderr: bytes) -> str:
    """The folder that git says it won't read, from the command that it proposes."""
    _, _, quoted = os.fsdecode(stderr).rpartition("safe.directory ")
    try:
        parts = shlex.split(quoted)
    except ValueError:
        return ""
    return parts[0] if parts else ""


def _line(stderr: bytes) -> str:
    said = " ".join(stderr.decode(errors="replace").split())
    return f"Git fails: {said or 'it does not say why'}"


def _quoted(ref: str) -> str:
    return f'"{one_line(ref)}"'
