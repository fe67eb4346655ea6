"""Changing the rows of a table in batches, each in a short transaction of its own.

Other releases write the table meanwhile. Nothing is remembered between runs: a row that
meets the condition is one that is still to be changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from django.db import connections, transaction
from django.db.models import F, Model, Q, QuerySet, Value
from django.db.models.lookups import Exact

from syzygy.exceptions import BackfillError

Rows: TypeAlias = "QuerySet[Any]"
Change: TypeAlias = Callable[[Rows], object]

# How often all rows are gone through for those that came meanwhile.
PASSES = 100


class Filling(NamedTuple):
    """What is done to which rows of a table.

    ``rows`` are all of them, ``where`` is the condition on those to change, ``change``
    is called with the rows of a batch and has to leave none that meets it. Where it
    ``holds`` them, nobody else can change them from before it reads them.
    """

    subject: str
    rows: Rows
    where: Q
    change: Change
    holds: bool
    size: int
    pause: float

    @property
    def left(self) -> Rows:
        """The rows that are still to be changed."""
        return self.rows.filter(self.where)

    def run(self, advance: Callable[[int], None]) -> None:
        """Change rows until none is left; ``advance`` is told how many more are done.

        Raises :class:`~syzygy.exceptions.BackfillError` if a change leaves rows as they
        are, or if rows keep coming.
        """
        for _ in range(PASSES):
            done = 0
            for keys in batches(self.left, self.size, self.pause):
                self._change(keys)
                advance(len(keys))
                done += len(keys)
            if not done:
                return
        raise BackfillError(
            f'Rows that need a value for "{self.subject}" keep coming as fast as they '
            "are filled: have no release write them any more, then run the command "
            "again; it goes on where it stopped."
        )

    def _change(self, keys: list[Any]) -> None:
        batch = among(self.rows, keys)
        with transaction.atomic(using=self.rows.db):
            if self.holds:
                hold(batch)
            self.change(batch.filter(self.where))
            # Of those that have come meanwhile the next pass takes care.
            left = {*keys}.intersection(
                batch.filter(self.where).values_list("pk", flat=True)
            )
            if left:
                rows = "row still needs" if len(left) == 1 else "rows still need"
                raise BackfillError(
                    f'{len(left):,} {rows} a value for "{self.subject}" after their '
                    "batch was filled: have the back-fill give them another value, or "
                    'leave them out by its "where". The batches before stay filled.'
                )


def change_all(rows: Rows, change: Change, size: int, pause: float) -> None:
    """Change all rows once, in batches; nobody else can change those of one."""
    for keys in batches(rows, size, pause):
        batch = among(rows, keys)
        with transaction.atomic(using=rows.db):
            hold(batch)
            change(batch)


def batches(rows: Rows, size: int, pause: float) -> Iterator[list[Any]]:
    """The primary keys of rows in their order, so many at a time.

    After each batch it sleeps for ``pause`` seconds.
    """
    following = rows.order_by("pk")
    while keys := list(following.values_list("pk", flat=True)[:size]):
        yield keys
        following = rows.filter(pk__gt=keys[-1]).order_by("pk")
        if pause:
            time.sleep(pause)


def among(rows: Rows, keys: list[Any]) -> Rows:
    """The rows with those primary keys, which are in order.

    If several columns are the key: with any from the first to the last of them. Not all
    databases take a long list of such keys.
    """
    if isinstance(keys[0], tuple):
        return rows.filter(pk__gte=keys[0], pk__lte=keys[-1])
    return rows.filter(pk__in=keys)


def hold(rows: Rows) -> None:
    """Keep others from changing the rows until the transaction ends."""
    features = connections[rows.db].features
    if features.has_select_for_update:
        # What others insert may refer to the rows all the same.
        no_key = features.has_select_for_no_key_update
        list(rows.order_by("pk").select_for_update(no_key=no_key).values_list("pk"))
    else:
        # SQLite lets one transaction write. One that has read before it asks for that
        # is refused at once if another one has written since.
        key = rows.model._meta.pk_fields[0].attname
        none = Q(Exact(Value(1), 0))
        rows.filter(none).update(**{key: F(key)})


# Changes


def to_value(name: str, value: object) -> Change:
    """What gives a field a value, or that of an expression."""

    def change(rows: Rows) -> None:
        rows.update(**{name: value})

    return change


def to_made(name: str, make: Callable[[], object]) -> Change:
    """What gives a field what ``make()`` returns, called for each row."""
    change = to_computed(name, lambda row: make())
    return lambda rows: change(rows.only("pk"))


def to_computed(name: str, compute: Callable[[Any], object]) -> Change:
    """What gives a field what ``compute(row)`` returns for the row."""

    def change(rows: Rows) -> None:
        changed = []
        for row in rows:
            value = compute(row)
            field = row._meta.get_field(name)
            is_row = isinstance(value, Model)
            setattr(row, field.name if is_row else field.attname, value)
            changed.append(row)
        # A statement has a branch for each row, which are tried in turn.
        rows.bulk_update(changed, [name], batch_size=100)

    return change
