"""The rows that foreign keys refer to: those that are there, or new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps.registry import Apps
from django.db import DatabaseError, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

from syzygy.rehearsal.drafts import Draft, Variant, default_of, written_fields
from syzygy.rehearsal.field_values import integer_range
from syzygy.rehearsal.row_rules import ModelClass, is_automatic, unharmed
from syzygy.rehearsal.values import Unprobable, label_of, sample

# Makes and saves a row, for another release's class of the table as well.
_Insert = Callable[[ModelClass, ModelClass | None, Apps | None], models.Model]
# How many rows that are there to try.
_EXISTING = 5


class Parents:
    """Finds or makes the rows that foreign keys refer to."""

    def __init__(self, connection: BaseDatabaseWrapper, insert: _Insert) -> None:
        self._connection = connection
        self._insert = insert
        # The rows in the making, each for the one before.
        self._drafts: list[Draft] = []
        # What is already referred to by keys: of which model, in which field.
        self._awaited: set[tuple[ModelClass, str, Any]] = set()

    @contextmanager
    def making(self, draft: Draft) -> Iterator[None]:
        """What is made meanwhile is made for this row."""
        self._drafts.append(draft)
        try:
            yield
        finally:
            self._drafts.pop()

    def awaits(self, row: models.Model) -> bool:
        """Whether something refers to a row before it is saved, so that it has to be.

        That is so if they need each other.
        """
        fields: dict[str, Any] = {each.name: each for each in row._meta.concrete_fields}
        return any(
            isinstance(row, model) and getattr(row, fields[name].attname) == value
            for model, name, value in self._awaited
        )

    def fill(self, draft: Draft) -> None:
        """Give each foreign key the value that the variant asks for."""
        for field in written_fields(draft.model):
            if isinstance(field, models.ForeignKey):
                draft.values[field.name] = self._value(draft, field)

    def existing(self, field: Any) -> list[Any]:
        """What the key may be to refer to some of the rows that are there."""
        key = field.target_field.attname
        query = self._rows(field).filter(**{f"{key}__isnull": False}).order_by(key)
        try:
            with unharmed(self._connection):
                return list(query.values_list(key, flat=True)[:_EXISTING])
        except DatabaseError:
            return []

    def new(self, draft: Draft, field: Any) -> Any:
        """What the key has to be to refer to a row that nothing refers to."""
        return self._parent(draft, field, is_new=True)

    def _value(self, draft: Draft, field: Any) -> Any:
        if draft.variant is Variant.ORPHAN and not field.db_constraint:
            return self._nothing(field, draft.number)
        if draft.is_left(field) and draft.other(field) is None:
            value = self._default(field)
            if value is not None:
                return value
            if field.null:
                return None
        if draft.is_emptied(field) and draft.may_be_null(field):
            return None
        return self._parent(draft, field, is_new=draft.must_be_fresh(field))

    def _default(self, field: Any) -> Any:
        """The key's default if it refers to a row; else there is no use in it."""
        if not (field.has_default() or field.has_db_default()):
            return None
        value = default_of(field)
        return value if value is not None and self._is_there(field, value) else None

    def _parent(self, draft: Draft, field: Any, *, is_new: bool) -> Any:
        self._refuse_odd(field)
        if not is_new and (existing := self.existing(field)):
            return existing[0]
        target = field.remote_field.model._meta.concrete_model
        if is_new and draft.model is target and not draft.may_be_null(field):
            # Another row would have to refer to something in turn.
            return self._key_of(draft, field)
        if self._is_being_made(target, is_new=is_new):
            return self._circular(draft, field, target)
        try:
            row = self._insert(target, self._also(draft, field), draft.beside)
        except DatabaseError as error:
            raise Unprobable(
                label_of(field),
                f'No row of "{target._meta.label}" could be made for it to refer to: '
                f"{' '.join(str(error).split())}",
            ) from error
        return getattr(row, field.target_field.attname)

    def _circular(self, draft: Draft, field: Any, target: ModelClass) -> Any:
        """The key where what it refers to needs the row that is being made."""
        if draft.may_be_null(field):
            return None
        if draft.may_dangle(field):
            return self._nothing(field, draft.number)
        first = next(each for each in self._drafts if each.model is target)
        if first is draft or (
            self._connection.features.can_defer_constraint_checks
            and self._connection.in_atomic_block
        ):
            key = self._key_of(first, field)
            if first is not draft:
                self._awaited.add((first.model, field.target_field.name, key))
            return key
        raise Unprobable(
            label_of(field),
            f'A row needs one of "{target._meta.label}", which needs such a row in '
            "turn, and the database doesn't put off checking that to the end of the "
            "transaction.",
        )

    def _is_being_made(self, target: ModelClass, *, is_new: bool) -> bool:
        """Whether making a row of the target would need a row of it in turn.

        One of another variant may do without, but what refers to a row of its own goes
        round the circle again.
        """
        return any(
            each.model is target and (is_new or each.variant is Variant.DEFAULTS)
            for each in self._drafts
        )

    def _key_of(self, draft: Draft, field: Any) -> Any:
        """The value by which a row in the making will be referred to."""
        own = field.target_field
        while own.name not in draft.values and isinstance(own, models.ForeignKey):
            own = own.target_field
        if draft.values.get(own.name) is None:
            if not is_automatic(own):
                raise Unprobable(
                    label_of(field), "A row refers to itself by a field that is NULL."
                )
            draft.values[own.name] = self._free_key(own, draft.number)
        return draft.values[own.name]

    def _free_key(self, field: Any, number: int) -> int:
        """A key that the database won't hand out by itself soon.

        Each is less than those before it, as MySQL goes on from the greatest key that
        it has seen, even in a transaction that was rolled back.
        """
        _, high = integer_range(field, self._connection)
        middle = min(high, 2**31) // 2
        return int(middle - number % middle)

    def _nothing(self, field: Any, number: int) -> Any:
        """A value of the key that refers to no row."""
        target = field.target_field
        while isinstance(target, models.ForeignKey):
            target = target.target_field
        if isinstance(target, models.IntegerField):
            _, high = integer_range(target, self._connection)
            return min(high, 2**31) // 4 * 3 + number % 1_000
        value = sample(target, number, self._connection)
        while self._is_there(field, value):
            number += 1
            value = sample(target, number, self._connection)
        return value

    def _is_there(self, field: Any, value: Any) -> bool:
        query = self._rows(field).filter(**{field.target_field.attname: value})
        try:
            with unharmed(self._connection):
                return bool(query.exists())
        except (DatabaseError, TypeError, ValueError):
            return False

    def _rows(self, field: Any) -> Any:
        target = field.remote_field.model
        return target._base_manager.using(self._connection.alias)

    def _also(self, draft: Draft, field: Any) -> ModelClass | None:
        """The other release's class of the table that the key refers to."""
        apps = draft.also._meta.apps if draft.also else draft.beside
        table = field.remote_field.model._meta.db_table
        for model in apps.get_models() if apps else ():
            if model._meta.db_table == table and not model._meta.proxy:
                return model
        return None

    def _refuse_odd(self, field: Any) -> None:
        target = field.remote_field.model
        label = target._meta.label
        if target._meta.swapped:
            problem = f'It refers to "{label}", which is swapped out.'
        elif len(target._meta.pk_fields) > 1 and field.target_field.primary_key:
            problem = f'It refers to "{label}", whose primary key has several fields.'
        elif not router.allow_migrate_model(self._connection.alias, target):
            problem = (
                f'It refers to "{label}", which a router keeps from the database '
                f'"{self._connection.alias}".'
            )
        else:
            return
        raise Unprobable(label_of(field), problem)
