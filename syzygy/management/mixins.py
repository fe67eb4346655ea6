"""What Syzygy adds to management commands, to combine with whatever else does."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from syzygy.checks import TAG, without_stages
from syzygy.management.detector import StagedAutodetector


class StoppableMixin(BaseCommand):
    """Makes Ctrl+C one line, for commands that clean up after themselves."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Django's. Raises :class:`CommandError` if it is stopped by a signal."""
        # Not imported at the top: checks load the command without running it.
        from syzygy.management.reaching import stoppable

        with stoppable():
            return super().execute(*args, **options)


class MigrateMixin(BaseCommand):
    """Adds stages, a lock and the quorum to a ``migrate`` derived from Django's."""

    autodetector = StagedAutodetector()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--pre-deploy``, ``--audit`` and those of the quorum."""
        super().add_arguments(parser)
        parser.add_argument(
            "--pre-deploy",
            action="store_true",
            help=(
                "Apply only what the new release needs and the running one survives, "
                "before the rollout; run migrate without it afterwards."
            ),
        )
        parser.add_argument(
            "--audit",
            action="store_true",
            help="With --pre-deploy: refuse a plan that breaks one of the releases.",
        )
        parser.add_argument(
            "--quorum",
            metavar="N",
            help="Wait until N clusters run this; one of them applies it for all.",
        )
        parser.add_argument(
            "--quorum-timeout",
            metavar="SECONDS",
            help="Give up if they aren't there after that time. The default is 600.",
        )
        parser.add_argument(
            "--no-migration-lock",
            action="store_true",
            help=(
                "Don't take the lock in the database that keeps two processes from "
                "migrating it at once."
            ),
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Django's, which checks and asks databases before it handles anything.

        Raises :class:`CommandError` if a quorum is wanted and can't come about, if the
        database is away, and if somebody else's program keeps a SQLite file locked.
        """
        # Not imported at the top: checks load the command without running it.
        from syzygy.management.coordination import foresee
        from syzygy.management.reaching import patience, reach

        foresee(options)
        # A command that another one overrides may have no such option.
        alias = options.get("database")
        with patience(alias, partial(self._say, options)):
            if alias:
                reach(alias)
            return super().execute(*args, **options)

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Django's, which leaves the stages of migrations to the plan that follows."""
        with without_stages():
            super().check(*args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Run the command on the part of its plan that the stage allows.

        Raises :class:`CommandError` for whatever a person can get wrong.
        """
        from syzygy.autodetector import unsplit
        from syzygy.management.coordination import coordinating
        from syzygy.management.executor import staging
        from syzygy.management.mistakes import telling_mistakes
        from syzygy.management.planning import Planning
        from syzygy.management.report import StageReport
        from syzygy.progress import telling

        # A command that another one overrides may have no such arguments.
        words = [options.get("app_label"), options.get("migration_name")]
        words += ["--fake-initial"] * bool(options.get("fake_initial"))
        report = StageReport(
            self.stdout,
            self.style,
            [*filter(None, words)],
            fakes=bool(options.get("fake")),
        )
        say = partial(self._say, options)

        def warn(text: str) -> None:
            self.stderr.write(self.style.WARNING(text), style_func=str)

        if options.get("audit") and not options.get("pre_deploy"):
            raise CommandError("--audit is about the plan of --pre-deploy: add that.")
        output = None
        try:
            with telling_mistakes(), coordinating(options, say) as coordinator:
                planning = Planning(
                    options,
                    report,
                    partial(super().check, tags=[TAG]),
                    coordinator,
                    warn,
                )
                asking = unsplit(only_asked=True)
                with staging(planning.stage), telling(say), asking:
                    output = super().handle(*args, **options)
        finally:
            # With --check, too, which ends the process.
            if options.get("plan"):
                report.write_stages()
                report.write_postponed()
        # A plan that failed midway is made anew by whoever goes on.
        if self._applies(options) and not options.get("plan"):
            report.write_postponed()
        if options.get("pre_deploy") and not planning.has_plan:
            raise CommandError(
                f'The command "{type(self).__module__}" makes no plan as Django\'s '
                '"migrate" does, so --pre-deploy had no effect on it.'
            )
        return output

    def _say(self, options: dict[str, Any], text: str) -> None:
        if options["verbosity"] >= 1:
            self.stdout.write(text)
            self.stdout.flush()

    @staticmethod
    def _applies(options: dict[str, Any]) -> bool:
        is_dry = options.get("check_unapplied") or options.get("prune")
        return options["verbosity"] >= 1 and not is_dry
