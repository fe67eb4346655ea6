"""What Syzygy adds to the commands that make fewer operations of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management import BaseCommand

from syzygy.checks import without_stages

if TYPE_CHECKING:
    from django.db.migrations import Migration


class _WithoutStages(BaseCommand):
    def check(self, *args: Any, **kwargs: Any) -> None:
        """Django's, without the stages of the migrations that there are."""
        with without_stages():
            super().check(*args, **kwargs)


class OptimizeMigrationMixin(_WithoutStages):
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


class SquashMigrationsMixin(_WithoutStages):
    """Has a command derived from Django's keep the stages, and what is split."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Squash migrations, and tell what to do if they are of both stages."""
        from django.core.management.commands import squashmigrations

        from syzygy.generation.squashing import StagedOptimizerMixin, settle_squashed
        from syzygy.generation.writer import StageWriterMixin, derived

        mixed: list[Migration] = []

        class Writer(StageWriterMixin):
            def __init__(self, migration: Migration, *args: Any, **kwargs: Any) -> None:
                mixed.extend([migration] * settle_squashed(migration))
                super().__init__(migration, *args, **kwargs)

        with (
            derived(squashmigrations, "MigrationOptimizer", StagedOptimizerMixin),
            derived(squashmigrations, "MigrationWriter", Writer),
        ):
            output = super().handle(*args, **options)
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
