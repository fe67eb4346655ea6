"""Operations that know their stage, fill a field, or keep a DEFAULT in the database.

Since Django has ``db_default``, the last three of the classes below exist for the
migrations that projects already have: they keep a field's Python default as the
DEFAULT of its column for as long as two releases share the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import operations
from django.db.migrations.state import ProjectState
from django.db.models import ForeignKey

from syzygy.alterations import has_db_default
from syzygy.backfill import Backfill
from syzygy.constants import Stage
from syzygy.history import AnyField
from syzygy.ordering import AlterOrder, DropOrderDefault, SetOrderDefault
from syzygy.relaxing import RelaxField

__all__ = [
    "AddField",
    "AlterField",
    "AlterOrder",
    "Backfill",
    "DropOrderDefault",
    "PostAddField",
    "PreRemoveField",
    "RelaxField",
    "RenameField",
    "RenameModel",
    "SetOrderDefault",
    "get_post_add_field_operation",
    "get_pre_add_field_operation",
    "get_pre_remove_field_operation",
]

Deconstructed: TypeAlias = tuple[str, Sequence[Any], dict[str, Any]]


class RenameField(operations.RenameField):
    """Django's, in the stage that is given."""

    def __init__(
        self, model_name: str, old_name: str, new_name: str, stage: Stage
    ) -> None:
        self.stage = stage
        super().__init__(model_name, old_name, new_name)

    def deconstruct(self) -> Deconstructed:
        """Django's, with the stage."""
        return _with_stage(super().deconstruct(), self.stage)


class RenameModel(operations.RenameModel):
    """Django's, in the stage that is given."""

    def __init__(self, old_name: str, new_name: str, stage: Stage) -> None:
        self.stage = stage
        super().__init__(old_name, new_name)

    def deconstruct(self) -> Deconstructed:
        """Django's, with the stage."""
        return _with_stage(super().deconstruct(), self.stage)


class AlterField(operations.AlterField):
    """Django's, in the stage that is given."""

    def __init__(
        self,
        model_name: str,
        name: str,
        field: AnyField,
        stage: Stage,
        preserve_default: bool = True,
    ) -> None:
        self.stage = stage
        super().__init__(model_name, name, field, preserve_default)

    def deconstruct(self) -> Deconstructed:
        """Django's, with the stage."""
        return _with_stage(super().deconstruct(), self.stage)


class AddField(operations.AddField):
    """Add a field whose Python default stays in the database as a DEFAULT.

    :class:`PostAddField` drops it, once no release runs that doesn't know the field.
    """

    stage = Stage.PRE_DEPLOY

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Add the column, and keep its DEFAULT."""
        to_state = _keep_default(self, app_label, to_state)
        super().database_forwards(app_label, schema_editor, from_state, to_state)


class PostAddField(operations.AlterField):
    """Drop the DEFAULT that :class:`AddField` kept."""

    stage = Stage.POST_DEPLOY

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drop the DEFAULT."""
        from_state = _keep_default(self, app_label, from_state)
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Set the DEFAULT again."""
        to_state = _keep_default(self, app_label, to_state)
        super().database_forwards(app_label, schema_editor, from_state, to_state)


class PreRemoveField(operations.AlterField):
    """Give a field that is about to be removed a DEFAULT in the database.

    The release that doesn't know the field any more can insert rows then.
    """

    stage = Stage.PRE_DEPLOY

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Set the DEFAULT."""
        to_state = _keep_default(self, app_label, to_state)
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drop the DEFAULT."""
        from_state = _keep_default(self, app_label, from_state)
        super().database_forwards(app_label, schema_editor, from_state, to_state)


def get_pre_add_field_operation(
    model_name: str, name: str, field: AnyField, preserve_default: bool = True
) -> operations.AddField:
    """What adds a field so that a release that doesn't know it can insert rows.

    A constant default becomes the DEFAULT of the column, unless the field is unique.
    Any other NOT NULL field is added as one that allows NULL.
    """
    if not (field.null or has_db_default(field)):
        field = _relaxed(field)
    return operations.AddField(model_name, name, field, preserve_default)


def get_post_add_field_operation(
    model_name: str, name: str, field: AnyField, preserve_default: bool = True
) -> AlterField:
    """What makes a field as it is declared, once all releases that run know it."""
    return AlterField(model_name, name, field, Stage.POST_DEPLOY, preserve_default)


def get_pre_remove_field_operation(
    model_name: str, name: str, field: AnyField, preserve_default: bool = True
) -> AlterField:
    """What allows a release that doesn't know a field any more to use its table.

    It can insert rows, because of a DEFAULT or of NULL, and delete rows that the field
    refers to.
    """
    relaxed = _relaxed(field)
    if isinstance(field, ForeignKey):
        relaxed.db_constraint = False
    return AlterField(model_name, name, relaxed, Stage.PRE_DEPLOY, preserve_default)


def _relaxed(field: AnyField) -> AnyField:
    """The field with a DEFAULT, if it has a constant default, or else allowing NULL."""
    relaxed = field.clone()
    if _has_constant_default(field) and not (field.unique or field.remote_field):
        relaxed.db_default = field.default
    elif not has_db_default(field):
        relaxed.null = True
    return relaxed


def _has_constant_default(field: AnyField) -> bool:
    return (
        field.has_default()
        and not callable(field.default)
        and field.default is not None
    )


def _keep_default(
    operation: operations.AddField | operations.AlterField,
    app_label: str,
    state: ProjectState,
) -> ProjectState:
    """The state in which the operation's field has its default in the database."""
    default = operation.field.get_default() if operation.field.has_default() else None
    if default is None or has_db_default(operation.field):
        return state
    field = operation.field.clone()
    field.db_default = default
    state = state.clone()
    state.alter_field(
        app_label,
        operation.model_name_lower,
        operation.name,
        field,
        operation.preserve_default,
    )
    return state


def _with_stage(deconstructed: Deconstructed, stage: Stage) -> Deconstructed:
    path, args, kwargs = deconstructed
    return path, args, {**kwargs, "stage": stage}
