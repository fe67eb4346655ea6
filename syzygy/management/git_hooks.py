"""The text of a git hook: the audit's block in it, and what surrounds that.

Pure: the command ``insert_git_hooks`` reads and writes the files.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

# In a commit message: what it brings isn't audited.
ALLOW_UNSAFE = "[allow-unsafe-migrations]"

_SHEBANG = re.compile(rb"#![^\n]*(?:\n|\Z)")
# Shells of the family of sh, which run what it runs.
_SHELLS = {"sh", "ash", "bash", "dash", "ksh", "ksh93", "mksh", "zsh"}
_NEW = b"#!/bin/sh\n"

# Git runs the hook in the top folder of the work tree, with the path of the message.
#
# https://git-scm.com/docs/git-commit: with --verbose the message is cut at the line
# with the scissors; a comment is what git-stripspace takes for one.
# "grep -q" would break the pipe, which counts as a failure where pipefail is on.
_BLOCK = """\
{begin}
(
{guards}    if LC_ALL=C sed '/ -\\{{24\\}} >8 -\\{{24\\}}$/,$d' <"$1" |
        git stripspace --strip-comments |
        LC_ALL=C grep -F {marker} >/dev/null; then exit 0; fi
    # Nothing is deployed before the first commit, and a merge brings only what other
    # commits brought.
    git rev-parse --quiet --verify HEAD >/dev/null || exit 0
    if git rev-parse --quiet --verify MERGE_HEAD >/dev/null; then exit 0; fi
    if git diff --cached --quiet --no-ext-diff HEAD -- '*.py'; then exit 0; fi
    # What is to be committed, which the files may not be; git writes that tree anyway.
    tree=$(git write-tree) || exit 1
    cd -- {folder} 2>/dev/null || exit 0
{needs}    python={python}
    [ -x "$python" ] || python=python
    command -v "$python" >/dev/null || python=python3
    unset $(git rev-parse --local-env-vars)
    exec "$python" {arguments} --tree "$tree" </dev/null >&2
) || {{
    printf '%s\\n' {hint} >&2
    exit 1
}}
{end}
"""
_HINT = f'To commit it nevertheless, write "{ALLOW_UNSAFE}" into the message.'


class HookError(ValueError):
    """A hook that can't be extended; the message says what to do instead."""


@dataclass(frozen=True)
class Audit:
    """How a hook is to run the audit.

    ``folder`` is where, below the top of the work tree and with slashes; ``python`` the
    interpreter, ``program`` its arguments up to the command, ``options`` those of the
    command. ``repository`` is the folder that git keeps the repository in, for a hook
    that others share.
    """

    folder: str
    python: str
    program: Sequence[str]
    options: Sequence[str] = ()
    repository: str = ""

    @property
    def arguments(self) -> list[str]:
        """What follows the interpreter."""
        return [*self.program, "check_migrations", "--since", "HEAD", *self.options]

    @property
    def command(self) -> str:
        """The line for a shell that audits what a commit brings."""
        parts = ["tree=$(git write-tree)"]
        if self.folder != ".":
            parts.append(f"cd {shlex.quote(_relative(self.folder))}")
        parts.append(f'{shlex.join([self.python, *self.arguments])} --tree "$tree"')
        return " && ".join(parts)

    @property
    def block(self) -> bytes:
        """The part of the hook that runs it."""
        guards = needs = ""
        if self.repository:
            own = shlex.quote(self.repository)
            common = "git rev-parse --path-format=absolute --git-common-dir"
            guards = f'    [ "$({common})" = {own} ] || exit 0\n'
        if self.program[0] != "-m":
            needs = f"    [ -f {shlex.quote(_relative(self.program[0]))} ] || exit 0\n"
        text = _BLOCK.format(
            begin=self._begin,
            end=self._end,
            guards=guards,
            needs=needs,
            marker=shlex.quote(ALLOW_UNSAFE),
            hint=shlex.quote(_HINT),
            folder=shlex.quote(_relative(self.folder)),
            python=shlex.quote(self.python),
            arguments=shlex.join(self.arguments),
        )
        # Names of files needn't be text.
        return text.encode("utf-8", "surrogateescape")

    @property
    def _begin(self) -> str:
        about = '"manage.py insert_git_hooks" wrote this, with --remove it goes'
        return f"# >>> syzygy {self._key} >>> {about}"

    @property
    def _end(self) -> str:
        return f"# <<< syzygy {self._key} <<<"

    @property
    def _key(self) -> str:
        """Whose block it is, in one line: several projects may share a hook."""
        return json.dumps(posixpath.join(self.repository, self.folder))

    def split(self, hook: bytes) -> tuple[bytes, bytes, bytes]:
        """What stands before its block in a hook, the block, and what stands after it.

        All is before it if there is none. Raises :class:`HookError` for half a block.
        """
        begin = hook.find(f"# >>> syzygy {self._key} >>>".encode())
        if begin < 0:
            return hook, b"", b""
        last = f"{self._end}\n".encode()
        end = hook.find(last, begin)
        if end < 0:
            raise HookError(f'a line is missing: "{self._end}".')
        end += len(last)
        return hook[:begin], hook[begin:end], hook[end:]


def inserted(hook: bytes, audit: Audit) -> bytes:
    """The hook with the audit's block, which comes first: hooks may ``exec`` or exit.

    ``hook`` is empty for a new one. Raises :class:`HookError` if it is no script of a
    shell.
    """
    before, block, after = audit.split(hook)
    if block:
        return before + audit.block + after
    if not hook:
        return _NEW + audit.block
    program = interpreter(hook)
    if program not in _SHELLS:
        what = f'a script for "{program}"' if program else "no script"
        raise HookError(
            f"it is {what}, so let it run this, and fail if this fails:\n"
            f"    {audit.command}"
        )
    shebang = _SHEBANG.match(hook)
    start = shebang.end() if shebang else 0
    line_end = b"" if hook[:start].endswith(b"\n") or not start else b"\n"
    return hook[:start] + line_end + audit.block + hook[start:]


def removed(hook: bytes, audit: Audit) -> bytes:
    """The hook without the audit's block; empty if nothing else is in it.

    Raises :class:`HookError` for half a block.
    """
    before, block, after = audit.split(hook)
    if block and before == _NEW and not after:
        return b""
    return before + after


def interpreter(hook: bytes) -> str:
    """The name of the program that runs a hook; empty if that is no script.

    Git has ``sh`` run what doesn't name one.
    """
    if b"\0" in hook:
        return ""
    shebang = _SHEBANG.match(hook)
    if not shebang:
        return "sh"
    words = shebang[0][2:].decode(errors="replace").split()
    if words and posixpath.basename(words[0]) == "env":
        words = [w for w in words[1:] if not w.startswith("-") and "=" not in w]
    name = posixpath.basename(words[0].replace("\\", "/")) if words else ""
    return name.removesuffix(".exe") or "?"


def _relative(path: str) -> str:
    """The path so that no program takes it for an option."""
    return path if path == "." or posixpath.isabs(path) else f"./{path}"
