"""What to do about what a rehearsal finds."""

from __future__ import annotations

from django.db.migrations import RemoveField

from syzygy.constants import Stage
from syzygy.rehearsal import scope
from syzygy.rehearsal.findings import NEXT_KEY, NULL, Action, Culprit, Failure
from syzygy.rehearsal.releases import NEW
from syzygy.rehearsal.row_rules import forbids_null
from syzygy.requirements import is_opaque
from syzygy.rules import (
    ADD_FIELD_DB_DEFAULT,
    ADD_UNIQUE,
    DROP_DB_CONSTRAINT,
    DROP_NOT_NULL,
    DROP_UNIQUE,
    REMOVE_CONSTRAINT,
    REMOVE_UNIQUE_TOGETHER,
    SET_NOT_NULL,
    STATE_ONLY,
    WIDEN_TYPE,
    Rule,
)
from syzygy.stages import Source

_ATTACH_LATER = (
    "If the old release has to delete such rows, leave the constraint out before "
    "the rollout (db_constraint=False), and add it after it (AlterField)."
)
_UPSERT_LATER = (
    "If the {} release has code that upserts on it, change that in a deployment of "
    "its own."
)
_COPE = "Have the release that reads it cope with NULL in a deployment before."
# The new release reads what the old one left out. Of a field that is new there is no
# deployment before, and in a rollback the migrations are undone again.
_COPE_YET = (
    "Have the new release cope with NULL as long as the post-deploy migrations aren't "
    "applied, or read the field only from the next deployment on."
)
# The ways out of what does no harm to most releases.
_MILD = {
    "create-model": _ATTACH_LATER,
    "add-field-relation": _ATTACH_LATER,
    "add-field-m2m": _ATTACH_LATER,
    "drop-unique": _UPSERT_LATER.format("old"),
    "remove-constraint": _UPSERT_LATER.format("old"),
    "remove-unique-together": _UPSERT_LATER.format("old"),
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
# Those of them that are no other way to write the deployment.
_ELSEWHERE = {_COPE, _COPE_YET, *map(_UPSERT_LATER.format, ("old", "new"))}
# What any release does with a table that is as it expects.
_PLAIN = {Action.INSERT, Action.SELECT, Action.UPDATE}
_WHEN = {Stage.PRE_DEPLOY: "before", Stage.POST_DEPLOY: "after"}
# What has to be undone in which stage of the rollback.
_UNDONE = {
    Stage.PRE_DEPLOY: "only when the new release is gone",
    Stage.POST_DEPLOY: "before the old release comes back",
}


def way_out(culprit: Culprit, failure: Failure) -> str:
    """What to do about what an operation breaks, in a sentence or two."""
    rule = culprit.rule
    if failure.probe.action is Action.MIGRATE:
        return _mend(culprit, failure)
    if failure.probe.action is Action.KEEP and isinstance(
        culprit.operation, RemoveField
    ):
        return _KEEP_VALUES[culprit.backward]
    if failure.probe.subject == NEXT_KEY:
        return (
            "Reset the sequence where the rows with keys of their own are inserted: "
            f"manage.py sqlsequencereset {culprit.migration.app_label} prints the SQL."
        )
    if rule is None or is_opaque(rule):
        what = "undoing the migration" if culprit.backward else "the migration"
        return f"Find out what {what} does to the rows and tables of the model."
    if rule.required and not rule.caveat and culprit.is_misplaced:
        return _in_stage(culprit, rule.required)
    if _is_stated_apart(culprit) and failure.probe.action in _PLAIN:
        return (
            "Have it make of the database what its state operations say, which is what "
            "the release looks for, and undo that when they are undone."
            if culprit.backward
            else "Have it make of the database what its state operations say, which is "
            "what the release looks for."
        )
    if rule is STATE_ONLY:
        return _do_what_is_stated(culprit, failure)
    if rule is ADD_FIELD_DB_DEFAULT and failure.probe.action is Action.DELETE:
        # It is a foreign key as well, which refers to what is deleted.
        return _for(culprit, _ATTACH_LATER)
    return _for(
        culprit, rule.remedy or _mild(rule, failure) or _SPLIT.format(rule.code)
    )


def _mild(rule: Rule, failure: Failure) -> str:
    """The way out of what does no harm to most releases; empty if it does."""
    remedy = _MILD.get(rule.code, "")
    reads_old_rows = remedy is _COPE and failure.probe.release == NEW
    return _COPE_YET if reads_old_rows else remedy


# By whether the field comes back with the rollback.
_KEEP_VALUES = {
    False: (
        "Copy the values to where the new release looks for them before the field "
        "goes, and again what the running release writes meanwhile."
    ),
    True: (
        "What was in the field went with it: remove it in a later deployment, which "
        "nobody rolls back past, or fill it when it is there again: with RunPython or "
        'RunSQL in a migration before this one, whose "reverse_code" or "reverse_sql" '
        "does it."
    ),
}
_SPLIT = (
    'See what the rule "{}" says in the reference, and split the change so that each '
    "release finds what it needs."
)


def _for(culprit: Culprit, remedy: str) -> str:
    """What to write otherwise, told of the rollback where that is what breaks."""
    if not culprit.backward or remedy in _ELSEWHERE:
        return remedy
    return f"Change the deployment, which is undone in the reversed order: {remedy}"


def _in_stage(culprit: Culprit, required: Stage) -> str:
    """How to have it run, or be undone, in the other stage."""
    when = f"{_WHEN[required]} the rollout"
    if culprit.source is Source.BASELINE:
        return (
            f'The setting "{Source.BASELINE.value}" has it for deployed everywhere, so '
            f'no stage that it declares counts: end it before "{culprit.migration}", '
            f"which then has to run {when}."
        )
    if culprit.source is Source.OVERRIDE:
        return (
            f'Change its stage in the setting "{Source.OVERRIDE.value}", which goes '
            f"before one that it declares, to Stage.{required.name}: {when}."
        )
    if culprit.backward:
        way = (
            f"Undo it {_UNDONE[required]}, as is done with what is applied {when}: put "
            "it into"
        )
    else:
        way = f"Apply it {when}: in"
    return (
        f"{way} a migration that holds nothing with another requirement, with\n"
        "    from syzygy import Stage\n"
        f"    stage = Stage.{required.name}"
    )


def _do_what_is_stated(culprit: Culprit, failure: Failure) -> str:
    """What to do where the database has to follow what is said of the models."""
    stated = culprit.stated
    if stated is None or not stated.has_effect:
        return (
            "It changes nothing in the database, where the release looks for what the "
            "models have: change that as well, in this migration or in another."
        )
    if failure.probe.subject == NULL and stated.code in _MILD:
        return _mild(stated, failure)
    if stated.remedy:
        return _for(
            culprit, f"The database has to follow what it only says. {stated.remedy}"
        )
    how = f"{_WHEN[stated.required]} the rollout, " if stated.required else ""
    return _for(
        culprit,
        f"The database has to follow what it only says: do that in it, too, {how}by "
        'the operation itself, or with "database_operations".',
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


# What keeps a rule's operation from being undone.
_MEND_FORBIDDEN = "Mend the rows that it will forbid again"
_UNDOING_FORBIDS = {
    DROP_NOT_NULL: "Fill the rows that hold NULL",
    DROP_DB_CONSTRAINT: _MEND_FORBIDDEN,
    DROP_UNIQUE: _MEND_FORBIDDEN,
    REMOVE_CONSTRAINT: _MEND_FORBIDDEN,
    REMOVE_UNIQUE_TOGETHER: _MEND_FORBIDDEN,
    WIDEN_TYPE: _MEND_FORBIDDEN,
}


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
    if culprit.backward and rule in _UNDOING_FORBIDS:
        return (
            f"{_UNDOING_FORBIDS[rule]} before it is undone: with RunPython or RunSQL "
            'in a migration after this one, whose "reverse_code" or "reverse_sql" does '
            "it."
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
    if rule and rule.remedy:
        return _for(culprit, rule.remedy)
    return (
        "Find out what it trips over: the tables hold a few rows, all of which one of "
        "the releases may write."
    )
