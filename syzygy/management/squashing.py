"""What Syzygy adds to the commands that make fewer operations of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management import BaseCommand, CommandError

from syzygy.checks import without_stages
from syzygy.management.mistakes import telling_mistakes

if TYPE_CHECKING:
    from django.db.migrations import Migration
    from django.db.migrations.exceptions import NodeNotFoundError


class _Rewriting(BaseCommand):
    def execute(self, *args: Any, **options: Any) -> str | None:
        """Django's, with one line about whatever a person can get wrong."""
        # Not imported at the top: checks load the command without running it.
        from syzygy.generation.errors import Unwritable

        try:
            with telling_mistakes():
                return super().execute(*args, **options)
        except Unwritable as error:
            raise CommandError(str(error)) from error
        except EOFError as error:
            raise CommandError(
                "A question was left without an answer; nothing was written. Use "
                '"--noinput" not to be asked.'
            ) from error
        except KeyboardInterrupt as error:
            raise CommandError("Cancelled.") from error

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Django's, without the stages of the migrations that there are."""
        with without_stages():
            super().check(*args, **kwargs)


class OptimizeMigrationMixin(_Rewriting):
    """Has a command derived from Django's keep the stage, and what is split."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Optimize a migration."""
        # Not imported at the top: checks load the command without running it.
        from django.core.management.commands import optimizemigration

        from syzygy.generation.squashing import StagedOptimizerMixin
        from syzygy.generation.writer import StageWriterMixin, derived

        with (
            derived(optimizemigration, "MigrationOptimizer", StagedOptimizerMixin),
            derived(optimizemigration, "MigrationWriter", StageWriterMixin),
        ):
            return super().handle(*args, **options)


class SquashMigrationsMixin(_Rewriting):
    """Has a command derived from Django's keep the stages, and what is split."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Squash migrations, and tell what to do if they are of both stages."""
        from django.core.management.commands import squashmigrations
        from django.db.migrations.exceptions import NodeNotFoundError

        from syzygy.generation.squashing import StagedOptimizerMixin, settle_squashed
        from syzygy.generation.writer import StageWriterMixin, derived

        mixed: list[Migration] = []

        class Writer(StageWriterMixin):
            def __init__(self, migration: Migration, *args: Any, **kwargs: Any) -> None:
                mixed.extend([migration] * settle_squashed(migration))
                super().__init__(migration, *args, **kwargs)
                self.as_string()  # Before there is a file to leave empty.

        with (
            derived(squashmigrations, "MigrationOptimizer", StagedOptimizerMixin),
            derived(squashmigrations, "MigrationWriter", Writer),
        ):
            try:
                output = super().handle(*args, **options)
            except (KeyError, NodeNotFoundError) as error:
                raise _replaced(error) from error
        for migration in mixed:
            self._tell(migration)
        return output

    def _tell(self, migration: Migration) -> None:
        from syzygy import conf, messages

        baseline = conf.read_leniently().baseline
        self.stderr.write(
            self.style.WARNING(
                f'"{migration}" has what runs before a rollout and what runs after it. '
                f"{messages.squashed_remedy(migration, baseline)}"
            ),
            style_func=str,
        )


def _replaced(error: KeyError | NodeNotFoundError) -> Exception:
    """What to say of a migration that Django looks for, and another one replaces."""
    from django.db.migrations.loader import MigrationLoader

    key = getattr(error, "node", error.args[0])
    loader = MigrationLoader(None, ignore_no_migrations=True)
    for replacing, migration in loader.replacements.items():
        if key in migration.replaces and replacing in loader.graph.nodes:
            name = ".".join(replacing)
            return CommandError(
                f'"{".".join(key)}" is replaced by the squashed migration "{name}". '
                "Name that one instead; or, if it is applied nowhere, delete its file "
                "and squash anew."
            )
    return error
