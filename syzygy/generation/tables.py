"""Tables that would be something else's for the new release than for the running one.

The one would have to be there before the rollout, and the other until after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from syzygy.alterations import join_table
from syzygy.generation.fields import changed
from syzygy.generation.ways import LATER, Refusal, line
from syzygy.history import AnyField, History, ModelKey


class Owner(NamedTuple):
    """A model, or a many-to-many field of one that has a join table.

    ``has_table`` tells that migrations make and drop the table.
    """

    key: ModelKey
    name: str
    field: str
    has_table: bool
    definition: AnyField = None

    def __str__(self) -> str:
        dot = "." if self.field else ""
        return f'"{self.key[0]}.{self.name}{dot}{self.field}"'


Owners = dict[str, list[Owner]]


def owners(history: History) -> Owners:
    """What has tables, by their names, that of unmanaged models included."""
    found: Owners = defaultdict(list)
    for key, model in history.models.items():
        has_table = history.has_table(key)
        if not history.has_table(key, {**model.options, "managed": True}):
            continue
        table = history.table(key)
        found[table].append(Owner(key, model.name, "", has_table))
        for name, field in model.fields.items():
            if place := join_table(table, name, field):
                found[place].append(Owner(key, model.name, name, has_table, field))
    return found


def taken(
    before: Owners,
    after: Owners,
    goal: Owners,
    renamed: Mapping[ModelKey, ModelKey],
) -> Iterator[Refusal]:
    """What comes to have the table of something that goes.

    ``renamed`` has the new keys of models by the old ones. What keeps its table, and
    models that take that of another, are no concern of this. The ``goal`` has what is
    left of apps of which nothing is written, too. What stays there is in another
    database: in the same one Django allows no two tables of one name.
    """
    had = {_identity(each, renamed) for own in before.values() for each in own}
    has = {_identity(each) for own in after.values() for each in own}
    for table in sorted(before.keys() & after.keys()):
        own = {_identity(each) for each in after[table]}
        stay = {_identity(each) for each in goal.get(table, ())}
        for old in before[table]:
            was = _identity(old, renamed)
            for new in after[table]:
                if _identity(new) in had or _is_told_elsewhere(old, new, renamed):
                    continue
                if was in own:
                    # It goes, from an app of which nothing is written.
                    if was not in stay and old.has_table and new.has_table:
                        yield _refusal(table, old, new)
                elif was not in has and (old.has_table or new.has_table):
                    yield _refusal(table, old, new)


def _identity(
    owner: Owner, renamed: Mapping[ModelKey, ModelKey] = MappingProxyType({})
) -> tuple[ModelKey, str]:
    return renamed.get(owner.key, owner.key), owner.field


def _is_told_elsewhere(
    old: Owner, new: Owner, renamed: Mapping[ModelKey, ModelKey]
) -> bool:
    if old.field and new.field:
        return renamed.get(old.key, old.key) == new.key
    return not (old.field or new.field) and old.has_table


def _refusal(table: str, old: Owner, new: Owner) -> Refusal:
    other: tuple[str, tuple[str, ...]]
    if new.field:
        lines = [line(new.field, changed(new.definition, db_table=None))]
        later = f"add it {LATER.rstrip('.')}, when {old} and its table are gone."
        other = f"Or leave it out for now, and {later}", ()
    else:
        lines = [*_with_table(new.name, "_".join(new.key))]
        other = (
            f'Or keep the table "{table}", if it fits, and write the migrations by '
            "hand, with SeparateDatabaseAndState that changes the state alone:",
            _with_table(new.name, table),
        )
    own = "Have it use a table of its own, and copy the rows:"
    return Refusal(
        new.key[0],
        f'Having {new} take the table "{table}" of {old} is unsafe: both releases '
        "have a table of that name, for different things.",
        ((own, tuple(lines)), other),
        (*new.key, new.field) if new.field else new.key,
    )


def _with_table(name: str, table: str) -> tuple[str, ...]:
    return (
        f"class {name}(models.Model):",
        "    class Meta:",
        f'        db_table = "{table}"',
    )
