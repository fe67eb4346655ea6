"""What the services take that host repositories and run the checks of what is in them.

They show a finding at its line, if they are told the file as they know it: by its path
below the top of the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from syzygy.locations import Location

# https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs: what
# is before it goes.
_COMMAND = re.compile(r"^(\s*)::(?=[^\n]*::)", re.MULTILINE)


def hosted_path(path: str) -> str:
    """The path of a file as the service has it, with slashes.

    It stays absolute for what is neither in the repository nor below the current
    folder. ``path`` is that of a :class:`Location`.
    """
    here = Path.cwd()
    file = here / path
    # A worktree and a submodule have a file of that name.
    roots = (up for up in (here, *here.parents) if os.path.lexists(up / ".git"))
    root = next(roots, here)
    try:
        return file.relative_to(root).as_posix()
    except ValueError:
        return file.as_posix()


def github_annotation(
    kind: str, title: str, text: str, place: Location | None = None
) -> str:
    """The workflow command of GitHub that shows a text, at a line if there is one.

    ``kind`` is "error", "warning" or "notice".
    """
    # https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    properties = {"title": title}
    if place and place.path:
        path = hosted_path(place.path)
        properties = {"file": path, "line": str(place.line), **properties}
    shown = ",".join(f"{k}={_escaped(v, ':,')}" for k, v in properties.items())
    return f"::{kind} {shown}::{_escaped(text)}"


def one_line(text: str) -> str:
    """Text that is one line of a log, whatever is in it, and is seen as it is."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def no_commands(text: str) -> str:
    """Lines of text none of which GitHub's runner takes for a workflow command.

    It looks for these in whatever a step prints.
    """
    return _COMMAND.sub(r"\1: :", text)


def _escaped(text: str, marks: str = "") -> str:
    """What GitHub's runner turns back: percent signs, ends of lines, and ``marks``."""
    # Names of files needn't be text.
    text = text.encode(errors="backslashreplace").decode()
    for mark in "%\r\n" + marks:
        text = text.replace(mark, f"%{ord(mark):02X}")
    return text
