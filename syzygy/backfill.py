"""The operation that fills a field in batches; :mod:`syzygy.operations` has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import models, router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.migrations.state import ProjectState

from syzygy import filling
from syzygy.constants import Stage
from syzygy.exceptions import BackfillError
from syzygy.filling import Change, Filling, Rows
from syzygy.progress import Progress, listener


class Backfill(Operation):
    """Fill a field in batches, each in a short transaction of its own.

    The rows to fill are those in which the field is NULL, or that meet ``where``, a
    :class:`~django.db.models.Q`. They get one of:

    - ``value``: a constant, an expression such as ``F("shelf")``, or a function without
      arguments that is called for each row, as for the ``default`` of a field;
    - ``from_row``: a function that takes a row and returns the value for it;
    - ``update``: a function that takes a queryset of rows, and updates them.

    Functions are named in the migration by the module they are imported from.

    A batch has ``batch_size`` rows, in the order of the primary key; after each it
    waits for ``pause`` seconds. Rows that are inserted meanwhile are filled as well. If
    it is interrupted, the next run goes on with the rows that are left.

    The model may be a proxy; then it fills the table of the model behind it. Where the
    database has no table for the model, as one that is swapped out, or that a router
    keeps from it, there is nothing to fill.

    Undone it leaves the values there, or calls ``reverse`` with a queryset of the rows,
    in batches. The ``stage`` is post-deploy by the rules; another one can be given.
    With ``elidable`` it is left out when migrations are squashed.

    The migration needs ``atomic = False``. Raises a
    :class:`~syzygy.exceptions.BackfillError` in a transaction, for an unmanaged model,
    if a value leaves a row such that it still has to be filled, and if such rows keep
    coming.
    """

    # What the files that are written import it from.
    __module__ = "syzygy.operations"

    reduces_to_sql = False
    category = OperationCategory.PYTHON

    def __init__(  # noqa: PLR0913 - each is one line of the migration
        self,
        model_name: str,
        name: str,
        value: Any = models.NOT_PROVIDED,
        *,
        from_row: Callable[[Any], object] | None = None,
        update: Callable[[Any], object] | None = None,
        where: models.Q | None = None,
        batch_size: int = 1000,
        pause: float = 0,
        reverse: Callable[[Any], object] | None = None,
        stage: Stage | None = None,
        elidable: bool = False,
    ) -> None:
        self.model_name = model_name
        self.name = name
        self.value = value
        self.from_row = from_row
        self.update = update
        self.where = where
        self.batch_size = batch_size
        self.pause = pause
        self.reverse = reverse
        self.stage = stage
        self.elidable = elidable  # type: ignore[misc] # as Django's operations do
        given = (
            value is not models.NOT_PROVIDED,
            from_row is not None,
            update is not None,
        )
        if sum(given) != 1:
            raise ValueError(
                f'The back-fill of "{self._subject}" needs either a value, or '
                '"from_row", or "update", and no more than one of them.'
            )
        if batch_size < 1 or pause < 0:
            raise ValueError(
                f'The back-fill of "{self._subject}" needs a "batch_size" of at least '
                '1 and a "pause" of at least 0 seconds.'
            )

    @property
    def model_name_lower(self) -> str:
        """The name of the model in lower case."""
        return self.model_name.lower()

    @property
    def migration_name_fragment(self) -> str:
        """What a migration is called that does nothing else."""
        return f"fill_{self.model_name_lower}_{self.name}"

    def describe(self) -> str:
        """Say what it does."""
        return f"Fill field {self.name} on {self.model_name}"

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Leave the state as it is."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Fill the rows that are left to fill."""
        rows = self._rows(app_label, schema_editor, from_state)
        if rows is None:
            return
        is_null = models.Q(**{f"{self.name}__isnull": True})
        job = Filling(
            self._subject,
            rows,
            is_null if self.where is None else self.where,
            self._change,
            self._is_code,
            self.batch_size,
            self.pause,
        )
        if (say := listener()) is None:
            job.run(lambda _: None)
            return
        progress = Progress(self._subject, job.left.count(), say)
        job.run(progress.advance)
        progress.finish()

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Call ``reverse``, if there is one."""
        if self.reverse is not None:
            rows = self._rows(app_label, schema_editor, from_state)
            if rows is not None:
                filling.change_all(rows, self.reverse, self.batch_size, self.pause)

    @property
    def _subject(self) -> str:
        return f"{self.model_name_lower}.{self.name}"

    @property
    def _is_code(self) -> bool:
        return self.from_row is not None or self.update is not None

    @property
    def _change(self) -> Change:
        if self.update is not None:
            return self.update
        if self.from_row is not None:
            return filling.to_computed(self.name, self.from_row)
        if callable(self.value):
            return filling.to_made(self.name, self.value)
        return filling.to_value(self.name, self.value)

    def _rows(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        state: ProjectState,
    ) -> Rows | None:
        """All rows of the model; ``None`` if this database has no table for it.

        Those of a proxy are the rows of the model behind it.
        """
        if schema_editor.atomic_migration:
            raise BackfillError(
                f'The back-fill of "{self._subject}" needs a transaction for each '
                "batch, but its migration runs in one: put it into a migration of its "
                'own that has "atomic = False".'
            )
        # As for RunPython: relations may have come after the models were rendered.
        state.clear_delayed_apps_cache()
        model: Any = state.apps.get_model(app_label, self.model_name)
        model = model._meta.concrete_model
        alias = schema_editor.connection.alias
        if not self.allow_migrate_model(alias, model):
            if not model._meta.managed and router.allow_migrate_model(alias, model):
                raise BackfillError(
                    f'The back-fill of "{self._subject}" would fill nothing, as '
                    f'"{model._meta.label}" is unmanaged, so that no migration touches '
                    "its table: fill it by RunPython or RunSQL instead."
                )
            return None
        rows: Rows = model._base_manager.using(alias)
        return rows
