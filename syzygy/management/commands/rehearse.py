"""``rehearse``: prove a deployment before it happens."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Any

from django.core.management import CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections

from syzygy.checks import without_stages
from syzygy.management.mistakes import USER_ERRORS
from syzygy.management.mixins import StoppableMixin


class Command(StoppableMixin):
    """Runs both releases against the schema that they will share."""

    help = (
        "Go through the deployment of the pending migrations in a scratch database, "
        "and tell what breaks for the running release or the new one on the way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add where to start, how far to go, and how to tell of it."""
        start = parser.add_mutually_exclusive_group()
        start.add_argument(
            "--since",
            metavar="REF",
            help=(
                "Start from the migrations that are there at a git ref, such as "
                "origin/main, rather than from what is applied in the database."
            ),
        )
        start.add_argument(
            "--from",
            action="append",
            dest="targets",
            default=[],
            metavar="APP.MIGRATION",
            help="Start from that migration of an app; APP.zero is before the first.",
        )
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            choices=tuple(connections),
            help="The database whose deployment is rehearsed, on the same server.",
        )
        parser.add_argument(
            "--replay",
            action="store_true",
            help="Make the first schema by all its migrations, not from the models.",
        )
        parser.add_argument(
            "--revert",
            action="store_true",
            help="Rehearse the rollback as well.",
        )
        parser.add_argument(
            "--all-models",
            action="store_true",
            help="Probe all models, not only those that the migrations concern.",
        )
        parser.add_argument(
            "--keepdb", action="store_true", help="Keep the scratch database."
        )
        parser.add_argument(
            "--format",
            choices=("text", "json", "github"),
            default="text",
            help="How to write the report.",
        )
        parser.add_argument(
            "--fail-level",
            choices=("breaks", "hazard"),
            default="breaks",
            help="The least severity of a finding that makes the command fail.",
        )

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Django's, which leaves the stages of migrations to the plan that follows."""
        with without_stages():
            super().check(*args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        """Rehearse and report.

        Raises :class:`CommandError` for whatever a person can get wrong, and
        :class:`SystemExit` with 1 for findings that are bad enough.
        """
        # Not imported at the top: checks load the command without running it.
        from syzygy.management import rehearsal_report
        from syzygy.management.pipes import while_somebody_reads
        from syzygy.rehearsal.findings import Point, Severity
        from syzygy.rehearsal.run import REASONS, Options, rehearse

        def progress(point: Point) -> None:
            name = f" {point.migration}" if point.migration else ""
            step = f"{rehearsal_report.step_name(point)}{name} ..."
            self.stderr.write(step, style_func=str)

        order = Options(
            alias=options["database"],
            since=options["since"],
            targets=options["targets"],
            replay=options["replay"],
            revert=options["revert"],
            all_models=options["all_models"],
            keepdb=options["keepdb"],
        )
        try:
            # What migrations print is no part of the report.
            with redirect_stdout(sys.stderr):
                rehearsal = rehearse(
                    order, *([progress] if self._shows_progress(options) else [])
                )
        except (*USER_ERRORS, *REASONS) as error:
            # Of a scratch database that couldn't be removed after the error.
            notes = getattr(error, "__notes__", ())
            raise CommandError("\n".join([str(error), *notes])) from error
        with while_somebody_reads():
            rehearsal_report.write(
                rehearsal, options["format"], self.stdout, self.style
            )
        if rehearsal.fails(Severity(options["fail_level"])):
            raise SystemExit(1)

    def _shows_progress(self, options: dict[str, Any]) -> bool:
        return bool(options["verbosity"] > 0 and self.stderr.isatty())
