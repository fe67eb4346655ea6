"""What to do about what a rehearsal finds."""

from __future__ import annotations

from django.db.migrations import RemoveField

from syzygy.constants import Stage
from syzygy.rehearsal import scope
from syzygy.rehearsal.findings import NEXT_KEY, Action, Culprit, Failure
from syzygy.rehearsal.row_rules import forbids_null
from syzygy.requirements import is_opaque
from syzygy.rules import ADD_UNIQUE, DROP_NOT_NULL, SET_NOT_NULL

_ATTACH_LATER = (
    "If the running release has to delete such rows, leave the constraint out before "
    "the rollout (db_constraint=False), and add it after it (AlterField)."
)
_UPSERT_LATER = (
    "If the {} release has code that upserts on it, change that in a deployment of "
    "its own."
)
_COPE = "Have the release that reads it cope with NULL in a deployment before."
# The ways out of what does no harm to most releases.
_MILD = {
    "create-model": _ATTACH_LATER,
    "add-field-relation": _ATTACH_LATER,
    "add-field-m2m": _ATTACH_LATER,
    "drop-unique": _UPSERT_LATER.format("running"),
    "remove-constraint": _UPSERT_LATER.format("running"),
    "remove-unique-together": _UPSERT_LATER.format("running"),
    "add-unique": _UPSERT_LATER.format("new"),
    "add-constraint": _UPSERT_LATER.format("new"),
    "add-unique-together": _UPSERT_LATER.format("new"),
    "drop-not-null": _COPE,
    "set-not-null": _COPE,
    "add-field-unique": _COPE,
    "add-field": _COPE,
    "change-collation": (
        "If it makes equal what was not, apply it after the rollout, as a unique "
        "constraint is added; if it tells apart what was equal, before it."
    ),
}
# What any release does with a table that is as it expects.
_PLAIN = {Action.INSERT, Action.SELECT, Action.UPDATE}
_WHEN = {Stage.PRE_DEPLOY: "before", Stage.POST_DEPLOY: "after"}


def way_out(culprit: Culprit, failure: Failure) -> str:
    """What to do about what an operation breaks, in a sentence or two."""
    rule = culprit.rule
    if failure.probe.action is Action.MIGRATE:
        return _mend(culprit, failure)
    if failure.probe.action is Action.KEEP and isinstance(
        culprit.operation, RemoveField
    ):
        return (
            "Copy the values to where the new release looks for them before the field "
            "goes, and again what the running release writes meanwhile."
        )
    if failure.probe.subject == NEXT_KEY:
        return (
            "Reset the sequence where the rows with keys of their own are inserted: "
            f"manage.py sqlsequencereset {culprit.migration.app_label} prints the SQL."
        )
    if rule is None or is_opaque(rule):
        return "Find out what the migration does to the rows and tables of the model."
    if rule.required and not rule.caveat and culprit.is_misplaced:
        return (
            f"Apply it {_WHEN[rule.required]} the rollout: in a migration that holds "
            "nothing with another requirement, with\n"
            "    from syzygy import Stage\n"
            f"    stage = Stage.{rule.required.name}"
        )
    if _is_stated_apart(culprit) and failure.probe.action in _PLAIN:
        return (
            "Have it make of the database what its state operations say, which is what "
            "the release looks for."
        )
    return (
        rule.remedy
        or _MILD.get(rule.code)
        or (
            f'See what the rule "{rule.code}" says in the reference, and split the '
            "change so that each release finds what it needs."
        )
    )


def _runs_code(culprit: Culprit) -> bool:
    return culprit.operation is not None and scope.is_opaque(culprit.operation)


def _is_stated_apart(culprit: Culprit) -> bool:
    """Whether what is said of an operation is nothing that Django makes sure of."""
    return bool(
        getattr(culprit.operation, "state_operations", None)
        and _runs_code(culprit)
        and not (culprit.rule and culprit.rule.split)
    )


def _mend(culprit: Culprit, failure: Failure) -> str:
    """What to do about a migration that fails, whatever its stage is."""
    rule = culprit.rule
    if culprit.backward and culprit.operation and not culprit.operation.reversible:
        return (
            'Say how it is undone, with its "reverse_code" or "reverse_sql", be that '
            "nothing (RunPython.noop, RunSQL.noop)."
        )
    if failure.is_refused and rule is None:
        what = "what its code asks for" if _runs_code(culprit) else "the operation"
        return (
            f"Mend {what}: it has to fit the models as the migrations before it leave "
            "them, which may have other fields than they have in the end."
        )
    if culprit.backward and rule is DROP_NOT_NULL:
        return (
            "Fill the rows that hold NULL before it is undone: with RunPython or "
            'RunSQL in a migration after this one, whose "reverse_code" or '
            '"reverse_sql" does it.'
        )
    if rule is SET_NOT_NULL or forbids_null(
        getattr(culprit.operation, "constraint", None)
    ):
        return (
            "Fill the rows that hold NULL first, but after the rollout, as the running "
            "release may write more of them until then: with "
            '"syzygy.operations.Backfill" in a migration before this one, or with '
            "RunPython or RunSQL."
        )
    if rule is ADD_UNIQUE and not culprit.backward:
        return (
            "Mend the rows that have the same first, but after the rollout, as the "
            "running release may write more of them until then: with RunPython or "
            "RunSQL in a migration before this one. Where there is NULL, Django itself "
            'writes one default into all rows; "syzygy.operations.Backfill" gives each '
            "a value of its own."
        )
    return (rule and rule.remedy) or (
        "Find out what it trips over: the tables hold a few rows, all of which one of "
        "the releases may write."
    )
