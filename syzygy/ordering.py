"""Operations for ``order_with_respect_to``; :mod:`syzygy.operations` has them.

Django adds the column ``_order`` as NOT NULL and drops its DEFAULT at once, so that a
release that doesn't know it can't insert. These keep the DEFAULT, for as long as two
releases share the table.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import operations
from django.db.migrations.operations.base import OperationCategory
from django.db.migrations.operations.models import ModelOperation
from django.db.migrations.state import ProjectState

# What Django gives rows that are there when the column is added.
DEFAULT = 0


class AlterOrder(operations.AlterOrderWithRespectTo):
    """Django's ``AlterOrderWithRespectTo``, except that a new column has a DEFAULT.

    The column is as new when this is undone. :class:`DropOrderDefault` drops the
    DEFAULT, :class:`SetOrderDefault` sets it on a column that is to go.
    """

    # What the files that are written import it from.
    __module__ = "syzygy.operations"

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Add the column with its DEFAULT, or remove it."""
        before: Any = from_state.apps.get_model(app_label, self.name)
        after: Any = to_state.apps.get_model(app_label, self.name)
        is_new = (
            after._meta.order_with_respect_to and not before._meta.order_with_respect_to
        )
        if not is_new:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(schema_editor.connection.alias, after):
            schema_editor.add_field(before, _with_default(after))


class _OrderDefault(ModelOperation):
    """Set the DEFAULT of the column, or drop it. The state has no place for it."""

    category = OperationCategory.ALTERATION
    # Whether it is there after this.
    has_default: ClassVar[bool]

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Leave the state as it is."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Set the DEFAULT or drop it."""
        self._set(app_label, schema_editor, to_state, has_default=self.has_default)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Do the opposite."""
        self._set(app_label, schema_editor, to_state, has_default=not self.has_default)

    def _set(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        state: ProjectState,
        *,
        has_default: bool,
    ) -> None:
        model: Any = state.apps.get_model(app_label, self.name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            plain, relaxed = model._meta.get_field("_order"), _with_default(model)
            fields = (plain, relaxed) if has_default else (relaxed, plain)
            schema_editor.alter_field(model, *fields)


class SetOrderDefault(_OrderDefault):
    """Give the column ``_order`` a DEFAULT, before :class:`AlterOrder` removes it."""

    __module__ = "syzygy.operations"
    has_default = True

    def describe(self) -> str:
        """Say what it does."""
        return f"Set the DEFAULT of _order on {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        """What a migration is called that does nothing else."""
        return f"set_db_default_{self.name_lower}_order"


class DropOrderDefault(_OrderDefault):
    """Drop the DEFAULT that :class:`AlterOrder` gave the column ``_order``."""

    __module__ = "syzygy.operations"
    has_default = False

    def describe(self) -> str:
        """Say what it does."""
        return f"Drop the DEFAULT of _order on {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        """What a migration is called that does nothing else."""
        return f"drop_db_default_{self.name_lower}_order"


def _with_default(model: Any) -> Any:
    """The field ``_order`` of an ordered model, with a DEFAULT in the database."""
    plain = model._meta.get_field("_order")
    field = plain.clone()
    field.db_default = DEFAULT
    field.set_attributes_from_name(plain.name)
    field.model = model
    return field
