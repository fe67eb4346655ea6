"""Ways out, with the code of the very case to paste."""

from __future__ import annotations

from contextlib import suppress

from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelTable,
    RenameField,
    RenameModel,
)
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Now
from django.utils import timezone

from syzygy.alterations import column_name, has_db_default, is_generated, is_unique
from syzygy.constants import Stage
from syzygy.history import AnyField, History, ModelKey

# What an import needs not say: the migration modules that Django writes have it.
_USUAL = {"from django.db import migrations", "from django.db import models"}
_WHEN = {Stage.PRE_DEPLOY: "before", Stage.POST_DEPLOY: "after"}
# What suits a type and stands for nothing, where the field itself declares no default.
_NEUTRAL = {
    "BooleanField": False,
    "CharField": "",
    "DecimalField": 0,
    "FloatField": 0,
    "IntegerField": 0,
    "BigIntegerField": 0,
    "PositiveIntegerField": 0,
    "PositiveSmallIntegerField": 0,
    "SlugField": "",
    "SmallIntegerField": 0,
    "TextField": "",
}
# MySQL takes no literal as the DEFAULT of these.
_NO_LITERAL = {"mysql": {"TextField"}}


def code(
    *operations: Operation, stage: Stage | None = None, atomic: bool = True
) -> str:
    """The operations as lines of a migration, indented; empty if one can't be written.

    What they need to be imported comes first.
    """
    # Not imported at the top: most migrations are found to be fine.
    from django.db.migrations.writer import OperationWriter

    lines: list[str] = []
    imports: set[str] = set()
    # A field may hold what can't be written down, and its class is anybody's.
    with suppress(Exception):
        for operation in operations:
            text, needed = OperationWriter(operation, indentation=0).serialize()
            lines += text.strip().split("\n")
            imports |= {line for line in needed if line not in _USUAL}
    if not lines:
        return ""
    if len(operations) == 1:
        lines[-1] = lines[-1].removesuffix(",")
    if not atomic:
        lines.insert(0, "atomic = False")
    if stage is not None:
        imports.add("from syzygy import Stage")
        lines.insert(0, f"stage = Stage.{stage.name}")
    return "".join(f"\n    {line}" for line in [*sorted(imports), *lines])


def in_stage(stage: Stage) -> str:
    """How to have what a migration does run in that stage."""
    return (
        f"Apply it {_WHEN[stage]} the rollout: in a migration that holds nothing with "
        "another requirement, with\n"
        "    from syzygy import Stage\n"
        f"    stage = Stage.{stage.name}"
    )


def renamed_field(history: History, key: ModelKey, operation: RenameField) -> str:
    """The code that renames a field, and keeps the name of its column."""
    field = history.field(key, operation.old_name)
    if field is None:
        return ""
    kept = field.clone()
    kept.db_column = column_name(operation.old_name, field)
    model = operation.model_name
    return code(
        AlterField(model, operation.old_name, kept),
        RenameField(model, operation.old_name, operation.new_name),
    )


def renamed_model(history: History, key: ModelKey, operation: RenameModel) -> str:
    """The code that renames a model, and keeps the name of its table."""
    return code(
        AlterModelTable(operation.old_name, history.table(key)),
        RenameModel(operation.old_name, operation.new_name),
    )


def field_beside(operation: AlterField) -> str:
    """The code that adds a field as another is to be."""
    field = operation.field.clone()
    if not (field.many_to_many or is_generated(field)):
        field.null = True
    return code(AddField(operation.model_name, f"new_{operation.name}", field))


def safe_addition(operation: AddField, vendor: str) -> str:
    """The code that adds the field so that the running release can insert rows."""
    field = operation.field.clone()
    if is_unique(field):
        field.null = True
    else:
        _give_default(field, vendor)
    return code(
        AddField(
            operation.model_name, operation.name, field, operation.preserve_default
        )
    )


def _give_default(field: AnyField, vendor: str) -> None:
    is_time = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    if is_time or (field.has_default() and field.default is timezone.now):
        field.db_default = Now()
    elif field.has_default() and not callable(field.default):
        field.db_default = field.default
    elif field.has_default() or not _give_neutral(field, vendor):
        field.null = True


def _give_neutral(field: AnyField, vendor: str) -> bool:
    """Give the field a DEFAULT that stands for nothing, and tell if there is one."""
    kind = field.get_internal_type()
    if kind not in _NEUTRAL or kind in _NO_LITERAL.get(vendor, ()):
        return False
    field.db_default = _NEUTRAL[kind]
    return True


def relaxation(history: History, key: ModelKey, name: str, vendor: str) -> str:
    """The code that has to run before a field can be removed, before the rollout.

    Empty if the field isn't known.
    """
    field = history.field(key, name)
    if field is None:
        return ""
    relaxed: AnyField = field.clone()
    if relaxed.many_to_one or relaxed.one_to_one:
        relaxed.db_constraint = False
        relaxed.null = True
    elif relaxed.many_to_many:
        relaxed.remote_field.db_constraint = False
    elif is_unique(relaxed):
        relaxed.null = True
    elif not (relaxed.null or has_db_default(relaxed)):
        if relaxed.has_default() and not callable(relaxed.default):
            relaxed.db_default = relaxed.default
        elif not _give_neutral(relaxed, vendor):
            relaxed.null = True
    return code(AlterField(key[1], name, relaxed), stage=Stage.PRE_DEPLOY)
