"""``check_migrations``: what pending migrations break, and when."""

from __future__ import annotations

import sys
from argparse import SUPPRESS
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from django.core.management import CommandError, CommandParser
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.module_loading import import_string

from syzygy.audit.formats import FORMATS
from syzygy.management.mistakes import USER_ERRORS
from syzygy.management.mixins import StoppableMixin

if TYPE_CHECKING:
    from syzygy.audit.findings import Audit
    from syzygy.audit.selection import Selection

USAGE = 2


class Command(StoppableMixin):
    """Audits migrations for the stages in which they will run."""

    help = (
        "Tell what the pending migrations break for the running release or the new "
        "one, in which stage, and what to write instead. Applies nothing."
    )
    # What the checks find wrong with stages is the audit's to tell, in its own way.
    requires_system_checks = []

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        """Django's, which tells of a mistake without a page of usage before it."""
        return super().create_parser(
            prog_name, subcommand, **{"usage": SUPPRESS, **kwargs}
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what to audit, how strictly, and how to tell of it."""
        parser.add_argument(
            "targets",
            nargs="*",
            metavar="APP[.MIGRATION]",
            help="Tell only of these apps and migrations; the begin of a name will do.",
        )
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument(
            "--since",
            metavar="REF",
            help=(
                "Audit what isn't there at a git ref, such as origin/main, rather than "
                "what isn't applied in the database. Needs no database."
            ),
        )
        scope.add_argument(
            "--all",
            action="store_true",
            dest="everything",
            help=(
                "Audit all migrations of the project, each as if it were deployed "
                "alone. Needs no database."
            ),
        )
        scope.add_argument(
            "--fake-initial",
            action="store_true",
            help=(
                'Audit what "migrate --fake-initial" would do: initial migrations '
                "whose tables are there count as deployed."
            ),
        )
        parser.add_argument(
            "--tree",
            metavar="TREE",
            help=(
                "With --since: audit what a commit of this git tree would bring, what "
                "it edits included, rather than what the files hold. For hooks."
            ),
        )
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            choices=tuple(connections),
            help="The database to which they will be applied.",
        )
        parser.add_argument(
            "--strict",
            action="store_true",
            help="Allow no more than new models and nullable fields without a default.",
        )
        parser.add_argument(
            "--fail-level",
            choices=("breaking", "warning"),
            help=(
                "The least severity that makes the command fail. The default is "
                "breaking, unless SYZYGY_AUDIT says otherwise."
            ),
        )
        parser.add_argument(
            "--format",
            choices=("text", *FORMATS),
            default="text",
            help="How to write the report.",
        )
        parser.add_argument(
            "--output", metavar="FILE", help="Write the report to a file."
        )
        other = parser.add_mutually_exclusive_group()
        other.add_argument(
            "--explain", metavar="CODE", help="Explain a rule, such as SZ004."
        )
        other.add_argument(
            "--write-baseline",
            action="store_true",
            help=(
                "Print the MIGRATION_STAGES_BASELINE that declares deployed what is; "
                "what it covers isn't audited any more."
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Audit and report.

        Raises :class:`CommandError` for whatever a person can get wrong, and
        :class:`SystemExit` with 1 for findings that are bad enough.
        """
        # Not imported at the top: checks load the command without running it.
        from syzygy.audit import configuration, run
        from syzygy.audit.explain import explain
        from syzygy.audit.findings import Severity
        from syzygy.audit.selection import Selection

        if options["write_baseline"] and options["targets"]:
            raise CommandError(
                "--write-baseline is about all apps; leave out "
                f"{', '.join(options['targets'])}.",
                returncode=USAGE,
            )
        if options["tree"] is not None and options["since"] is None:
            raise CommandError(
                "--tree is what a commit would have: add --since HEAD.",
                returncode=USAGE,
            )
        selection = Selection(
            alias=options["database"],
            since=options["since"],
            tree=options["tree"],
            everything=options["everything"],
            fake_initial=options["fake_initial"],
            targets=options["targets"],
        )
        try:
            if options["explain"] is not None:
                code = options["explain"]
                self._tell(explain(code, configuration.read().rules), options)
                return
            # What migrations print when they are imported is no part of the report.
            with redirect_stdout(sys.stderr):
                if options["write_baseline"]:
                    audit = None
                    text = run.deployed_baseline(selection)
                else:
                    audit = self._audit(selection, options)
                level = options["fail_level"]
                fail_level = (
                    Severity(level) if level else configuration.read().fail_level
                )
        except (*USER_ERRORS, *run.REASONS, CommandError) as error:
            raise CommandError(str(error), returncode=USAGE) from error
        if audit is None:
            self._tell(text, options)
            return
        self._report(audit, options)
        if audit.fails(fail_level):
            raise SystemExit(1)

    def _audit(self, selection: Selection, options: dict[str, Any]) -> Audit:
        from syzygy.audit import run

        return run.run(
            selection, strict=options["strict"], with_sql=options["verbosity"] > 1
        )

    def _report(self, audit: Audit, options: dict[str, Any]) -> None:
        from io import StringIO

        from syzygy.management import audit_report
        from syzygy.management.pipes import while_somebody_reads

        if options["format"] != "text":
            render = import_string(FORMATS[options["format"]])
            self._tell(render(audit), options)
        elif options["output"] is not None:
            text = StringIO()
            audit_report.write(audit, OutputWrapper(text), no_style())
            self._tell(text.getvalue(), options)
        else:
            with while_somebody_reads():
                audit_report.write(audit, self.stdout, self.style)

    def _tell(self, text: str, options: dict[str, Any]) -> None:
        """Write to the file that is asked for, or to the standard output."""
        from syzygy.management.pipes import while_somebody_reads

        path = options["output"]
        if path is None:
            with while_somebody_reads():
                self.stdout.write(text)
            return
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text if text.endswith("\n") else f"{text}\n")
        except (OSError, ValueError) as error:
            raise CommandError(
                f'The report can\'t be written to "{path}": {error}', returncode=USAGE
            ) from error
