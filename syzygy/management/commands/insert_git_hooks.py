"""``insert_git_hooks``: audit migrations whenever they are committed."""

from __future__ import annotations

import os
import shlex
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management import BaseCommand, CommandError, CommandParser

if TYPE_CHECKING:
    from syzygy.git import Repository
    from syzygy.management.git_hooks import Audit

_NAME = "commit-msg"


class Command(BaseCommand):
    """Adds the audit to the repository's hook, or takes it out."""

    help = (
        'Have git run "check_migrations" on the migrations that a commit brings, from '
        "the repository's commit-msg hook. A hook that is there already is kept."
    )
    # It changes a file of git's, whatever is wrong with the project.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the way back."""
        parser.add_argument(
            "--remove", action="store_true", help="Take the audit out of the hook."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Change the hook and tell of it.

        Raises :class:`CommandError`: with 2 outside of a repository, with 1 for a hook
        that can't be extended, read or written.
        """
        # Not imported at the top: other commands load this one without running it.
        from syzygy.git import GitError, Repository
        from syzygy.management.git_hooks import HookError

        program = _program()
        folder = os.path.dirname(program) or os.curdir
        try:
            repository = Repository.around(folder)
            path = Path(repository.hooks(), _NAME)
            audit = _audit(repository, path, program, options)
        except GitError as error:
            raise CommandError(str(error), returncode=2) from error
        try:
            done = _remove(path, audit) if options["remove"] else _insert(path, audit)
        except HookError as error:
            raise CommandError(f'The hook "{path}" stays as it is: {error}') from error
        except OSError as error:
            raise CommandError(
                f'The hook "{path}" can\'t be changed: {error}'
            ) from error
        if options["verbosity"] > 0:
            self.stdout.write(done)


def _program() -> str:
    """The path of the ``manage.py`` that runs; empty for ``django-admin`` and such."""
    path = Path(sys.argv[0])
    return str(path) if path.suffix == ".py" and path.name != "__main__.py" else ""


def _audit(
    repository: Repository, path: Path, program: str, options: dict[str, Any]
) -> Audit:
    from syzygy.management.git_hooks import Audit

    hook, common = os.path.realpath(path), os.path.realpath(repository.common())
    is_own = _is_below(hook, common)
    is_tracked = not is_own and _is_below(hook, repository.root)
    chosen = [
        f"--{name}={options[name]}"
        for name in ("settings", "pythonpath")
        if options.get(name)
    ]
    settings = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not program and settings and not options.get("settings"):
        chosen.append(f"--settings={settings}")
    return Audit(
        folder=repository.path(os.path.dirname(program) or os.curdir),
        # What others get as well can't name a file of this machine.
        python="python" if is_tracked else sys.executable,
        program=[os.path.basename(program)] if program else ["-m", "django"],
        options=chosen,
        repository="" if is_own or is_tracked else common,
    )


def _is_below(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _insert(path: Path, audit: Audit) -> str:
    from syzygy.management.git_hooks import HookError, inserted, removed

    hook = _read(path)
    text = inserted(hook, audit)
    runs = os.access(path, os.X_OK)
    if hook == text and runs:
        return f'The hook "{path}" audits migrations already.'
    if hook and not runs and removed(hook, audit):
        # Somebody may have switched it off.
        raise HookError(
            "git ignores it, as it isn't executable. Remove it, or run this first:\n"
            f"    chmod +x {shlex.quote(str(path))}"
        )
    _write(path, text)
    return f'The hook "{path}" audits migrations from now on.'


def _remove(path: Path, audit: Audit) -> str:
    from syzygy.management.git_hooks import removed

    hook = _read(path)
    text = removed(hook, audit)
    if text == hook:
        return f'The hook "{path}" doesn\'t audit migrations.'
    if text:
        _write(path, text)
    else:
        path.unlink()
    return f'The hook "{path}" audits migrations no more.'


def _read(path: Path) -> bytes:
    """The hook; nothing if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _write(path: Path, hook: bytes) -> None:
    """Replace the hook, or what it is a link to, in one go, and make it executable."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    # Whoever may read it may run it.
    mode |= (mode & 0o444) >> 2
    descriptor, name = tempfile.mkstemp(prefix=f"{_NAME}.", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(hook)
        os.chmod(name, mode)
        os.replace(name, target)
    except OSError:
        os.unlink(name)
        raise
