"""What Syzygy adds to ``makemigrations``, to combine with whatever else does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management import CommandError, CommandParser

from syzygy import conf
from syzygy.checks import without_stages
from syzygy.management.detector import StagedAutodetector
from syzygy.management.mixins import StoppableMixin

if TYPE_CHECKING:
    from django.db.migrations import Migration

    from syzygy.generation.states import Changes

REFUSED = 3

# What Django says of branches that it can't merge.
_NO_ANCESTOR = "Could not find common ancestor"


class MakeMigrationsMixin(StoppableMixin):
    """Writes migrations that both releases survive, by one derived from Django's."""

    autodetector = StagedAutodetector()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--disable-syzygy``."""
        super().add_arguments(parser)
        parser.add_argument(
            "--disable-syzygy",
            action="store_true",
            help="Write what Django would write, in whatever stage it is safe or not.",
        )

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Django's, without the stages of the migrations that there are."""
        with without_stages():
            super().check(*args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Write migrations, each of one stage.

        Raises :class:`CommandError` with the exit code 3 for changes that are unsafe in
        whatever order, and for questions that nobody can answer.
        """
        # Not imported at the top: checks load the command without running it.
        from syzygy.autodetector import unsplit

        self._updated: list[Migration] = []
        self._is_plain = bool(options.get("disable_syzygy"))
        from syzygy.generation.errors import Inconsistency, Refused, Unwritable

        if self._is_plain:
            try:
                with unsplit():
                    return super().handle(*args, **options)
            except Refused as error:  # There is no order that Django could write.
                raise CommandError(str(error), returncode=REFUSED) from error
        from syzygy.disk import import_ahead
        from syzygy.generation.writer import writing_stages
        from syzygy.management.mistakes import telling_mistakes

        self._is_deaf = options["interactive"] and not _has_terminal()
        if self._is_deaf:
            options["interactive"] = False
        try:
            with telling_mistakes(), writing_stages():
                conf.check_form()  # Nobody may have, with --skip-checks.
                import_ahead()
                return super().handle(*args, **options)
        except Refused as error:
            message = "Nothing was written." if error.is_told else str(error)
            raise CommandError(message, returncode=REFUSED) from error
        except (Inconsistency, Unwritable) as error:
            raise CommandError(str(error)) from error
        except EOFError as error:
            raise CommandError(
                "A question was left without an answer; nothing was written.",
                returncode=REFUSED,
            ) from error

    def handle_merge(self, loader: Any, conflicts: Any) -> Any:
        """Django's, unless it would have to ask and nobody is there."""
        if not self._is_plain and self._is_deaf:
            raise CommandError(
                "Merging needs an answer, and there is no terminal. To merge without "
                "being asked run:\n    python manage.py makemigrations --merge "
                "--noinput",
                returncode=REFUSED,
            )
        try:
            return super().handle_merge(loader, conflicts)  # type: ignore[misc]
        except ValueError as error:
            if not str(error).startswith(_NO_ANCESTOR):
                raise
            raise CommandError(
                f"{error}: nothing comes before all of them. Have one of their "
                "branches depend on the other one."
            ) from error

    # Updating the latest migration

    def write_to_last_migration_files(self, changes: Changes) -> None:
        """Django's, for what has the stage of the latest migration.

        The rest is written to files of its own after it.
        """
        if self._is_plain:
            super().write_to_last_migration_files(changes)  # type: ignore[misc]
            return
        from syzygy.generation.updating import divide, follow
        from syzygy.generation.writer import ensure_writable

        ensure_writable(changes)
        merged, later = divide(changes)
        if merged:
            self._updated = []
            super().write_to_last_migration_files(merged)  # type: ignore[misc]
        if later:
            follow(later, merged, self._updated)
            self.write_migration_files(later)

    def write_migration_files(
        self, changes: Changes, update_previous_migration_paths: Any = None
    ) -> None:
        """Django's; the names of updated migrations are remembered.

        Tells what will be refused if it comes into the same release as what is there.
        """
        from syzygy.generation.writer import ensure_writable

        if not self._is_plain:
            ensure_writable(changes)
        conflict = None
        updated = update_previous_migration_paths or {}
        if updated:
            self._updated += [each for own in changes.values() for each in own]
        if not (self._is_plain or self.dry_run or self.verbosity < 1):  # type: ignore[attr-defined]
            from syzygy.generation.foresight import foresee

            conflict = foresee(
                changes, {(label, Path(updated[label]).stem) for label in updated}
            )
        super().write_migration_files(  # type: ignore[misc]
            changes, update_previous_migration_paths
        )
        if conflict is not None:
            self.stderr.write(self.style.WARNING(str(conflict)), style_func=str)


def _has_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # It is None, or closed.
        return False
