"""The judges of Django's operations: under which rules each falls.

Pure functions of an operation, the label of its app and the state before it. Those of
operations that wrap others are in :mod:`syzygy.requirements`, which asks all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from django.db.migrations import operations as django_operations
from django.db.migrations.operations.base import Operation
from django.db.models import (
    CheckConstraint,
    ForeignKey,
)
from django.db.models.options import normalize_together

from syzygy import rules
from syzygy.alterations import (
    alteration_rules,
    has_column,
    has_db_default,
    has_join_table,
    insert_may_omit,
    is_a,
    is_constrained,
    is_generated,
    is_per_row,
    is_unique,
)
from syzygy.constants import Stage
from syzygy.constraints import (
    constraint_fields,
    has_expression,
    plainly_compared_fields,
    refuses_null,
    unique_together,
)
from syzygy.history import AnyField, History, ModelKey, collation
from syzygy.rules import Rule

Judged: TypeAlias = Iterable[Rule] | Rule | Stage | None
Judge: TypeAlias = Callable[[Any, str, History], Judged]
_JudgeT = TypeVar("_JudgeT", bound=Judge)

JUDGES: dict[type[Operation], Judge] = {}
# Those that never tell of what has to wait or can't be staged, whatever the state is:
# operations that only they judge may always go together.
NEVER_WAITING: set[Judge] = set()
# Operations whose modules can be imported only by those who have what these need.
JUDGES_BY_PATH: dict[str, Judge] = {}


def unless_seen(rule: Rule) -> Rule:
    """What becomes of a rule where the running release doesn't know what it is about.

    A foreign key that comes into force concerns it all the same: it can't delete the
    rows any more that the new release refers to. What keeps the new release from
    inserting rows can't wait.
    """
    if not rule.has_effect or rule in (rules.ADD_DB_CONSTRAINT, rules.UNSEEN_NEEDED):
        return rule
    if rule is rules.REMOVE_ORDER:
        return rules.UNSEEN_NEEDED
    return rules.UNSEEN


def _judges(*classes: type[Operation]) -> Callable[[_JudgeT], _JudgeT]:
    def decorator(judge: _JudgeT) -> _JudgeT:
        JUDGES.update(dict.fromkeys(classes, judge))
        return judge

    return decorator


def _never_waiting(judge: _JudgeT) -> _JudgeT:
    NEVER_WAITING.add(judge)
    return judge


def _constant(rule: Rule) -> Judge:
    def judge(operation: Operation, app_label: str, history: History) -> Rule:
        return rule

    if rule.stageable and rule.required is not Stage.POST_DEPLOY:
        NEVER_WAITING.add(judge)
    return judge


# Models


@_never_waiting
@_judges(django_operations.CreateModel)
def _create_model(
    operation: django_operations.CreateModel, app_label: str, history: History
) -> Rule:
    if history.has_table((app_label, operation.name_lower), operation.options):
        return rules.CREATE_MODEL
    return rules.STATE_ONLY


@_judges(django_operations.DeleteModel)
def _delete_model(
    operation: django_operations.DeleteModel, app_label: str, history: History
) -> Rule:
    key = (app_label, operation.name_lower)
    model = history.model(key)
    if model is not None and any(
        _refuses_deletes(history, key, field) for field in model.fields.values()
    ):
        return rules.DELETE_MODEL_RELATIONS
    return rules.DELETE_MODEL


@_judges(django_operations.RenameModel)
def _rename_model(
    operation: django_operations.RenameModel, app_label: str, history: History
) -> Rule:
    key = (app_label, operation.old_name_lower)
    model = history.model(key)
    if model is None:
        return rules.RENAME_MODEL
    # First of all, for it is of no use then to pin the name of the table.
    if any(has_join_table(field) for field in model.fields.values()) or any(
        has_join_table(field) and history.related(other, field) == key
        for other, state in history.models.items()
        for field in state.fields.values()
    ):
        return rules.RENAME_MODEL_M2M
    return rules.STATE_ONLY if model.options.get("db_table") else rules.RENAME_MODEL


@_judges(django_operations.AlterModelTable)
def _alter_model_table(
    operation: django_operations.AlterModelTable, app_label: str, history: History
) -> Rule:
    key = (app_label, operation.name_lower)
    if history.model(key) and history.table(key) == (operation.table or "_".join(key)):
        return rules.STATE_ONLY
    return rules.ALTER_MODEL_TABLE


@_judges(django_operations.AlterOrderWithRespectTo)
def _alter_order_with_respect_to(
    operation: django_operations.AlterOrderWithRespectTo,
    app_label: str,
    history: History,
) -> Rule:
    model = history.model((app_label, operation.name_lower))
    before = model and model.options.get("order_with_respect_to")
    after = operation.order_with_respect_to
    if model and bool(before) == bool(after):
        return rules.STATE_ONLY
    return rules.ADD_ORDER if after else rules.REMOVE_ORDER


@_judges(django_operations.AlterUniqueTogether)
def _alter_unique_together(
    operation: django_operations.AlterUniqueTogether, app_label: str, history: History
) -> Iterator[Rule]:
    key = (app_label, operation.name_lower)
    if history.model(key) is None:
        yield rules.ALTER_UNKNOWN
    before, after = _together(operation, key, history)
    # Of the same columns in another order Django makes another index, and the rows that
    # it allows are the same.
    kept = {*map(frozenset, before)} & {*map(frozenset, after)}
    gone = {*map(frozenset, before)} - kept
    if gone:
        yield rules.REMOVE_UNIQUE_TOGETHER
    for names in after - before:
        if frozenset(names) in kept:
            yield rules.ADD_INDEX
        elif history.was_in_force(key, names) or any(
            each.issubset(names) for each in gone
        ):
            yield rules.REPLACE_CONSTRAINT
        else:
            unseen = _leaves_null(history, key, names)
            yield rules.UNSEEN if unseen else rules.ADD_UNIQUE_TOGETHER


@_judges(django_operations.AlterIndexTogether)
def _alter_index_together(
    operation: django_operations.AlterIndexTogether, app_label: str, history: History
) -> Iterator[Rule]:
    before, after = _together(operation, (app_label, operation.name_lower), history)
    if after - before:
        yield rules.ADD_INDEX
    if before - after:
        yield rules.REMOVE_INDEX


# Fields


@_never_waiting
@_judges(django_operations.AddField)
def _add_field(
    operation: django_operations.AddField, app_label: str, history: History
) -> Rule:
    field = operation.field
    if field.many_to_many:
        return rules.ADD_FIELD_M2M if has_join_table(field) else rules.STATE_ONLY
    if field.primary_key or not has_column(field):
        return rules.STATE_ONLY
    if is_generated(field):
        return rules.ADD_FIELD_GENERATED
    if is_unique(field) and not is_per_row(field.db_default):
        if not field.null or has_db_default(field):
            return rules.ADD_FIELD_UNIQUE_NOT_NULL
        return rules.ADD_FIELD_UNIQUE
    if has_db_default(field):
        return rules.ADD_FIELD_DB_DEFAULT
    if not field.null:
        return _add_not_null_field(field)
    if field.has_default() and field.default is not None:
        return rules.ADD_FIELD_NULL_DEFAULT
    if is_a(field, ForeignKey):
        return rules.ADD_FIELD_RELATION
    return rules.ADD_FIELD


def _add_not_null_field(field: AnyField) -> Rule:
    if callable(field.default):
        # Field.default is a class while no default is given.
        return (
            rules.ADD_FIELD_CALLABLE
            if field.has_default()
            else rules.ADD_FIELD_IMPLICIT
        )
    return rules.ADD_FIELD_NOT_NULL


@_judges(django_operations.RemoveField)
def _remove_field(
    operation: django_operations.RemoveField, app_label: str, history: History
) -> Rule:
    key = (app_label, operation.model_name_lower)
    field = history.field(key, operation.name)
    if history.is_unseen(*key) or history.is_unseen(*key, operation.name):
        is_needed = (
            field is not None
            and not field.many_to_many
            and has_column(field)
            and not insert_may_omit(field)
        )
        return rules.UNSEEN_NEEDED if is_needed else rules.UNSEEN
    if field is None:
        return rules.REMOVE_FIELD
    if field.many_to_many:
        return _remove_join_table(field)
    if not has_column(field):
        return rules.STATE_ONLY
    if field.primary_key:
        return rules.CHANGE_PRIMARY_KEY
    if is_generated(field):
        return rules.REMOVE_FIELD_GENERATED
    if _refuses_deletes(history, key, field):
        return rules.REMOVE_FIELD_RELATION
    if _in_unique_set(history, key, operation.name):
        return rules.REMOVE_FIELD_CONSTRAINED
    if insert_may_omit(field):
        return rules.REMOVE_FIELD
    return (
        rules.REMOVE_FIELD_UNIQUE if is_unique(field) else rules.REMOVE_FIELD_NOT_NULL
    )


def _remove_join_table(field: AnyField) -> Rule:
    if not has_join_table(field):
        return rules.STATE_ONLY
    if field.remote_field.db_constraint:
        return rules.REMOVE_FIELD_M2M
    return rules.REMOVE_FIELD


@_judges(django_operations.AlterField)
def _alter_field(
    operation: django_operations.AlterField, app_label: str, history: History
) -> Judged:
    key = (app_label, operation.model_name_lower)
    altered = alteration_rules(history, key, operation.name, operation.field)
    old = history.field(key, operation.name)
    if (
        rules.ADD_UNIQUE in altered
        and collation(old) == collation(operation.field)
        and history.was_in_force(key, [operation.name])
    ):
        replaced = {rules.ADD_UNIQUE: rules.REPLACE_CONSTRAINT}
        altered = [replaced.get(rule, rule) for rule in altered]
    # What the running release can't see may change, unless that keeps it from inserting
    # rows.
    if history.is_unseen(*key, operation.name) and (
        insert_may_omit(operation.field) or not (old and insert_may_omit(old))
    ):
        return map(unless_seen, altered)
    return altered


@_judges(django_operations.RenameField)
def _rename_field(
    operation: django_operations.RenameField, app_label: str, history: History
) -> Rule:
    key = (app_label, operation.model_name_lower)
    if history.is_unseen(*key, operation.old_name):
        return rules.UNSEEN
    field = history.field(key, operation.old_name)
    if field is None or (field.many_to_many and not has_join_table(field)):
        return rules.STATE_ONLY if field else rules.RENAME_COLUMN
    if field.many_to_many:
        return rules.STATE_ONLY if field.db_table else rules.CHANGE_M2M
    return rules.STATE_ONLY if field.db_column else rules.RENAME_COLUMN


# Indexes and constraints


@_judges(django_operations.AddConstraint)
def _add_constraint(
    operation: django_operations.AddConstraint, app_label: str, history: History
) -> Rule:
    key = (app_label, operation.model_name_lower)
    constraint = operation.constraint
    if history.is_replaced(key, constraint):
        return rules.REPLACE_CONSTRAINT
    if isinstance(constraint, CheckConstraint):
        names = constraint_fields(constraint)
        harmless = (
            bool(names)
            and all(history.is_unseen(*key, name) for name in names)
            and not has_expression(constraint.condition)
            and not (
                _leaves_null(history, key, names) and refuses_null(constraint.condition)
            )
        )
    elif getattr(constraint, "nulls_distinct", None) is False:
        harmless = False
    else:
        harmless = _leaves_null(history, key, plainly_compared_fields(constraint))
    return rules.UNSEEN if harmless else rules.ADD_CONSTRAINT


_judges(django_operations.RemoveConstraint)(_constant(rules.REMOVE_CONSTRAINT))
_judges(django_operations.AddIndex)(_constant(rules.ADD_INDEX))
_judges(django_operations.RemoveIndex)(_constant(rules.REMOVE_INDEX))
_judges(django_operations.RenameIndex)(_constant(rules.RENAME_INDEX))

# State alone, and comments

_judges(
    django_operations.AlterModelOptions,
    django_operations.AlterModelManagers,
    django_operations.AlterConstraint,
)(_constant(rules.STATE_ONLY))
_judges(django_operations.AlterModelTableComment)(_constant(rules.ALTER_COMMENT))


# Code


@_never_waiting
@_judges(django_operations.RunPython)
def _run_python(
    operation: django_operations.RunPython, app_label: str, history: History
) -> Rule:
    if operation.code is django_operations.RunPython.noop:
        return rules.STATE_ONLY
    return rules.RUN_PYTHON


# django.contrib.postgres, whose module can be imported only where psycopg is installed

_POSTGRES = "django.contrib.postgres.operations"
JUDGES_BY_PATH |= {
    f"{_POSTGRES}.CreateExtension": _constant(rules.CREATE_EXTENSION),
    f"{_POSTGRES}.CreateCollation": _constant(rules.CREATE_COLLATION),
    f"{_POSTGRES}.RemoveCollation": _constant(rules.REMOVE_COLLATION),
    f"{_POSTGRES}.ValidateConstraint": _constant(rules.VALIDATE_CONSTRAINT),
}


# What the judges above have in common


def _refuses_deletes(history: History, key: ModelKey, field: AnyField) -> bool:
    """Whether the database refuses to delete rows of other models for this field."""
    if is_a(field, ForeignKey):
        left_to_database = hasattr(field.remote_field.on_delete, "on_delete_sql")
        constrained = is_constrained(field) and not left_to_database
    else:
        constrained = has_join_table(field) and field.remote_field.db_constraint
    return constrained and history.related(key, field) != key


def _in_unique_set(history: History, key: ModelKey, name: str) -> bool:
    model = history.model(key)
    if model is None:
        return False
    return any(name in names for names in unique_together(model.options)) or any(
        not isinstance(constraint, CheckConstraint)
        and name in constraint_fields(constraint)
        for constraint in model.options.get("constraints", ())
    )


def _leaves_null(history: History, key: ModelKey, names: Iterable[str]) -> bool:
    """Whether a field among these is new and NULL in what the running release writes.

    A unique set doesn't apply to such rows.
    """
    return any(
        history.is_unseen(*key, name)
        and (field := history.field(key, name)) is not None
        and field.null
        and not has_db_default(field)
        for name in names
    )


def _together(
    operation: Any, key: ModelKey, history: History
) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]]]:
    model = history.model(key)
    before = model.options.get(operation.option_name) if model else None
    return set(normalize_together(before or ())), set(operation.option_value or ())
