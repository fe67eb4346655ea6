"""What ``migrate --pre-deploy`` does about the findings of the audit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import CommandError

from syzygy import conf
from syzygy.exceptions import RuleError
from syzygy.messages import BASELINE, baseline_line, on_database
from syzygy.stages import Decision, Source

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from syzygy.audit.findings import Finding
    from syzygy.management.stager import PlanStager


def heed_audit(
    stager: PlanStager,
    connection: BaseDatabaseWrapper,
    options: Mapping[str, Any],
    warn: Callable[[str], None],
) -> None:
    """Warn of what the plan breaks, or refuse it if that is asked for.

    Only of a plan that is to be applied or shown, and that goes forward: a rollback is
    what one does when something is broken already. Raises :class:`CommandError` if it
    refuses.
    """
    refuses = bool(options.get("audit"))
    is_harmless = options.get("fake") or options.get("check_unapplied")
    if is_harmless or not stager.plan or stager.plan[0][1] or _is_off(refuses=refuses):
        return
    # Not imported at the top: most commands never get here.
    from syzygy.audit import configuration
    from syzygy.audit.release import audit_release

    configured = configuration.read()
    refuses = refuses or configured.migrate == "refuse"
    try:
        audit = audit_release(stager, connection.vendor, configured)
    except RuleError as error:
        told = f"The audit of this plan failed. {error}"
        if refuses and not options.get("plan"):
            raise CommandError(f"{told}\nNothing is applied.") from error
        warn(told)
        return
    found = [finding for finding in audit.findings if finding.is_breaking]
    if not found:
        return
    again = on_database(connection.alias)
    again += " --fake-initial" * bool(options.get("fake_initial"))
    ways = _ways_out(stager, found, again)
    told = "\n".join([*map(_line, found), *ways])
    if refuses and not options.get("plan"):
        raise CommandError(f"The audit refuses this plan; nothing is applied.\n{told}")
    if options["verbosity"] >= 1:
        warn(told)


def _ways_out(
    stager: PlanStager, found: Collection[Finding], options: str
) -> Iterator[str]:
    """What to do about findings: first of all where a baseline is ahead."""
    covered = [finding for finding in found if _is_covered(stager, finding)]
    if covered:
        yield _outdated(stager, {finding.app_label for finding in covered})
    if len(covered) < len(found):
        # It says nothing of what the baseline covers.
        command = f"python manage.py check_migrations{options}"
        yield f"For what to do about it:\n    {command}"


def _outdated(stager: PlanStager, labels: Collection[str]) -> str:
    """What to say where the baseline of these apps covers what is yet to be applied."""
    newest = {
        migration.app_label: migration.name
        for migration in stager.before
        if migration.app_label in labels
    }
    # An app of which nothing is applied has no history yet.
    others = {
        label: name
        for label, name in conf.read().baseline.items()
        if label not in labels
    }
    line = baseline_line({**others, **newest})
    return (
        f'The setting "{BASELINE}" covers some of it as deployed everywhere, but this '
        f"database lacks that. If a release runs on it, correct that first:\n    {line}"
    )


def _is_covered(stager: PlanStager, finding: Finding) -> bool:
    decision = stager.decisions.get((finding.app_label, finding.migration))
    return isinstance(decision, Decision) and decision.source is Source.BASELINE


def _is_off(*, refuses: bool) -> bool:
    """Whether the settings turn the audit off, and the command line doesn't ask."""
    value = getattr(settings, conf.AUDIT, None) or {}
    return not refuses and value.get("MIGRATE") == "off"


def _line(finding: Finding) -> str:
    # Not imported at the top: most plans are found to be fine.
    from syzygy.hosting import one_line

    place = finding.location
    where = f" ({place.path}:{place.line})" if place.path else ""
    return one_line(f"{finding.code} {finding.label}: {finding.title}{where}")
