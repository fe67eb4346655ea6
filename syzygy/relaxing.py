"""The operation that relaxes a field for a rollout; :mod:`syzygy.operations` has it.

While two releases share a table, one of them leaves NULL where the other allows none,
or deletes rows that the other refers to. Django can't undo such an ``AlterField`` then:
the database refuses to have the constraints back.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import operations
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import CASCADE, Exists, ForeignKey, OuterRef

from syzygy.alterations import is_constrained
from syzygy.generation.options import covered_fields
from syzygy.history import AnyField, ModelKey
from syzygy.progress import listener


class RelaxField(operations.AlterField):
    """Django's ``AlterField``, which can be undone whatever was written meanwhile.

    Undone, references to rows that are gone become NULL, or go themselves where the
    field is one that cascades; and the column keeps allowing NULL if there are any.
    """

    # What the files that are written import it from.
    __module__ = "syzygy.operations"

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Django's, with a copy of the field.

        If what it refers to is renamed, Django changes it in place, and it would refer
        to that by the new name before that is so, once this is undone. Here rather than
        where that is renamed, as any command may apply this, Django's own among them.
        """
        super().state_forwards(app_label, state)
        fields = state.models[app_label, self.model_name_lower].fields
        fields[self.name] = fields[self.name].clone()

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Alter the field."""
        if _rebuilds(schema_editor):
            key = (app_label, self.model_name_lower)
            names = _empty(schema_editor, from_state, key) - {self.name}
            from_state = _with_null(from_state, key, names)
            to_state = _with_null(to_state, key, names)
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Have the constraints back, as far as the rows allow it."""
        key = (app_label, self.model_name_lower)
        alias = schema_editor.connection.alias
        model: Any = from_state.apps.get_model(*key)
        collects = getattr(schema_editor, "collect_sql", False)
        if self.allow_migrate_model(alias, model) and not collects:
            relaxed: AnyField = model._meta.get_field(self.name)
            strict: AnyField = to_state.apps.get_model(*key)._meta.get_field(self.name)
            _let_go(alias, relaxed, strict)
            only = None if _rebuilds(schema_editor) else self.name
            names = _empty(schema_editor, from_state, key, only)
            from_state = _with_null(from_state, key, names - {self.name})
            if self._may_be_filled(alias, strict, to_state.models[key]):
                names.discard(self.name)
            elif self.name in names and not strict.null:
                self._tell(model)
            to_state = _with_null(to_state, key, names)
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    @staticmethod
    def _may_be_filled(alias: str, field: AnyField, model: ModelState) -> bool:
        """Whether Django knows what to put where there is NULL, in all rows alike."""
        editor: Any = BaseDatabaseSchemaEditor
        default = editor._effective_default(field)
        if default is None or field.unique or field.name in covered_fields(model):
            return False
        if not (isinstance(field, ForeignKey) and is_constrained(field)):
            return True
        targets = field.remote_field.model._base_manager.using(alias)
        return bool(targets.filter(**{field.target_field.attname: default}).exists())

    def _tell(self, model: Any) -> None:
        if say := listener():
            say(
                f'  "{model._meta.label}.{self.name}" keeps allowing NULL in the '
                "database: there are rows without a value, which were written "
                "meanwhile."
            )


def _rebuilds(schema_editor: BaseDatabaseSchemaEditor) -> bool:
    """Whether the database makes a table anew, from the state, to alter a field."""
    return schema_editor.connection.vendor == "sqlite"


def _empty(
    schema_editor: BaseDatabaseSchemaEditor,
    state: ProjectState,
    key: ModelKey,
    only: str | None = None,
) -> set[str]:
    """The names of the fields that are NULL in a row, whatever the state says."""
    model: Any = state.apps.get_model(*key)
    rows = model._base_manager.using(schema_editor.connection.alias)
    return {
        field.name
        for field in model._meta.local_concrete_fields
        if field.name == (only or field.name)
        and not field.primary_key
        and rows.filter(**{f"{field.attname}__isnull": True}).exists()
    }


def _with_null(
    state: ProjectState, key: ModelKey, names: Collection[str]
) -> ProjectState:
    """The state in which these fields allow NULL."""
    strict = [
        name
        for name, field in state.models[key].fields.items()
        if name in names and not field.null
    ]
    if not strict:
        return state
    state = state.clone()
    for name in strict:
        field = state.models[key].fields[name].clone()
        field.null = True
        state.alter_field(*key, name, field, preserve_default=True)
    return state


def _let_go(alias: str, relaxed: AnyField, strict: AnyField) -> None:
    """Have nothing refer to rows that are gone, where the database is to check that."""
    if _has_automatic_table(strict):
        if strict.remote_field.db_constraint and not relaxed.remote_field.db_constraint:
            through = relaxed.remote_field.through
            for field in through._meta.fields:
                if isinstance(field, ForeignKey):
                    _dangling(alias, through, field).delete()
    elif isinstance(strict, ForeignKey):
        if relaxed.db_constraint or not is_constrained(strict):
            return
        rows = _dangling(alias, relaxed.model, relaxed)
        if relaxed.null:
            rows.update(**{relaxed.attname: None})
        elif strict.remote_field.on_delete is CASCADE:
            rows.delete()


def _has_automatic_table(field: AnyField) -> bool:
    """Whether a rendered field has a table of its own, made by Django."""
    return bool(field.many_to_many) and bool(
        field.remote_field.through._meta.auto_created
    )


def _dangling(alias: str, model: Any, field: AnyField) -> Any:
    target = field.remote_field.model._base_manager.using(alias)
    there = target.filter(**{field.target_field.attname: OuterRef(field.attname)})
    rows = model._base_manager.using(alias)
    return rows.filter(~Exists(there), **{f"{field.attname}__isnull": False})
