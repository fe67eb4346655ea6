"""Which migrations need which, and an order that respects it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, TypeAlias, TypeVar

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

MigrationKey: TypeAlias = tuple[str, str]


class WrittenMigration:
    """What the class of a migration says, without an instance unless it needs one.

    Each of thousands of classes is asked for each attribute once: Python looks those of
    a class that it hasn't met up in all its bases. ``stage`` is what it declares.

    Raises what the class does if it needs an instance and can't be made one.
    """

    __slots__ = (
        "app_label",
        "dependencies",
        "migration_class",
        "name",
        "operations",
        "replaces",
        "run_before",
        "stage",
    )

    def __init__(
        self, app_label: str, name: str, migration_class: type[Migration]
    ) -> None:
        self.migration_class = migration_class
        written: Any = migration_class
        stage = getattr(written, "stage", None)
        is_made = migration_class.__init__ is not Migration.__init__
        if is_made or hasattr(type(stage), "__get__"):
            # It says what it is when there is one: its app, its operations, its stage.
            written = self.migration_class(name, app_label)
            app_label, name = written.app_label, written.name
            stage = getattr(written, "stage", None)
        self.app_label = app_label
        self.name = name
        self.operations: Sequence[Operation] = written.operations
        self.dependencies: Sequence[tuple[str, str]] = written.dependencies
        self.run_before: Sequence[tuple[str, str]] = written.run_before
        self.replaces: Sequence[tuple[str, str]] = written.replaces
        self.stage: object = stage

    def __str__(self) -> str:
        return f"{self.app_label}.{self.name}"

    def instance(self) -> Migration:
        """The migration as Django has it in its graph."""
        return self.migration_class(self.name, self.app_label)


AnyMigration: TypeAlias = Migration | WrittenMigration
AnyMigrationT = TypeVar("AnyMigrationT", bound=AnyMigration)
NeedsTable: TypeAlias = dict[MigrationKey, tuple[MigrationKey, ...]]
Needs: TypeAlias = Callable[[MigrationKey], Iterable[MigrationKey]]


def key_of(migration: AnyMigration) -> MigrationKey:
    """The app label and the name of a migration."""
    return migration.app_label, migration.name


def topological(keys: Iterable[MigrationKey], needs: Needs) -> list[MigrationKey]:
    """The keys, each after those that it needs, directly or through others.

    The order of ``keys`` decides wherever their needs don't. What is needed but isn't
    among the keys is passed through, not returned. A circle, which Django refuses by
    itself, is cut at some point.
    """
    wanted = dict.fromkeys(keys)
    done: set[MigrationKey] = set()
    order = []
    for start in wanted:
        if start not in done and done.issuperset(needs(start)):
            # The rule, where the keys come in an order much like the one wanted.
            done.add(start)
            order.append(start)
            continue
        stack = [(start, False)]
        while stack:
            key, needs_done = stack.pop()
            if needs_done:
                if key in wanted:
                    order.append(key)
            elif key not in done:
                done.add(key)
                stack.append((key, True))
                stack += [
                    (need, False)
                    for need in sorted(needs(key), reverse=True)
                    if need not in done
                ]
    return order


def dependencies(
    migrations: Mapping[MigrationKey, AnyMigration],
    others: Mapping[MigrationKey, AnyMigration] | None = None,
) -> NeedsTable:
    """What each of these migrations needs directly, as far as it is one of them.

    That is Django's graph in small, for migrations that no loader has seen: with
    ``run_before``, ``__first__``, ``__latest__`` and squashed migrations in place of
    those they replace. What the latter say themselves counts, too, as in Django, where
    they are among the ``others``.
    """
    resolve = _Resolver(migrations)
    # Tuples of strings are no work for the garbage collector.
    needs: NeedsTable = dict.fromkeys(migrations, ())
    for key, migration in migrations.items():
        needs[key] += resolve.parents(key, migration)
        if migration.run_before:
            for child in resolve.children(key, migration):
                needs[child] += (key,)
    for key, migration in (others or {}).items():
        if key not in migrations:
            for squashed in resolve(*key, key[0]):
                parents = resolve.parents(key, migration)
                needs[squashed] += tuple(each for each in parents if each != squashed)
                for child in resolve.children(key, migration):
                    if child != squashed:
                        needs[child] += (squashed,)
    return needs


class _Resolver:
    """Finds the migrations that a dependency stands for."""

    def __init__(self, migrations: Mapping[MigrationKey, AnyMigration]) -> None:
        self._migrations = migrations
        self._by_app: dict[str, list[MigrationKey]] = defaultdict(list)
        self._replacements: dict[MigrationKey, MigrationKey] = {}
        for key, migration in migrations.items():
            self._by_app[key[0]].append(key)
            for app_label, name in migration.replaces:
                self._replacements[app_label, name] = key

    def __call__(
        self, app_label: str, name: str, current_app: str
    ) -> Iterable[MigrationKey]:
        if name in ("__first__", "__latest__"):
            if app_label == current_app:
                return ()
            return self._ends(app_label, name)
        key = (app_label, name)
        passed = set()
        while key not in self._migrations and key not in passed:
            passed.add(key)
            key = self._replacements.get(key, key)
        return (key,) if key in self._migrations else ()

    def parents(
        self, key: MigrationKey, migration: AnyMigration
    ) -> tuple[MigrationKey, ...]:
        """What the migration has among its ``dependencies``."""
        found: tuple[MigrationKey, ...] = ()
        for parent in migration.dependencies:
            if parent in self._migrations:
                found += (parent,)
            else:
                found += tuple(self(*parent, key[0]))
        return found

    def children(
        self, key: MigrationKey, migration: AnyMigration
    ) -> Iterator[MigrationKey]:
        """What the migration has in ``run_before``."""
        for app_label, name in migration.run_before:
            yield from self(app_label, name, key[0])

    def _ends(self, app_label: str, name: str) -> Iterable[MigrationKey]:
        """The first or the last migration of an app; of several, Django takes one."""
        parents = {
            key: {
                parent
                for parent in self._migrations[key].dependencies
                if parent[0] == app_label
            }
            for key in self._by_app[app_label]
        }
        if name == "__first__":
            ends = [key for key in parents if not parents[key]]
        else:
            inner = {parent for found in parents.values() for parent in found}
            ends = [key for key in parents if key not in inner]
        return sorted(ends)[:1]


def without_replaced(
    migrations: Mapping[MigrationKey, AnyMigrationT],
    keep: Collection[MigrationKey] = (),
) -> dict[MigrationKey, AnyMigrationT]:
    """The migrations without those that squashed ones replace.

    If one of those is to be kept, without its squashed one instead.
    """
    left = dict(migrations)
    for key, migration in migrations.items():
        if not migration.replaces:
            continue
        replaced = [tuple(parent) for parent in migration.replaces]
        present = [parent for parent in replaced if parent in migrations]
        if present and any(parent in keep for parent in present):
            left.pop(key, None)
        else:
            for app_label, name in migration.replaces:
                left.pop((app_label, name), None)
    return left


def inverted(needs: NeedsTable) -> NeedsTable:
    """What has to be unapplied before each migration: all that needs it directly."""
    needed_by: NeedsTable = dict.fromkeys(needs, ())
    for key, parents in needs.items():
        for parent in parents:
            needed_by[parent] += (key,)
    return needed_by


def baselined(
    baseline: Mapping[str, str],
    migrations: Mapping[MigrationKey, AnyMigration],
    needs: Needs,
) -> set[MigrationKey]:
    """The history of each app in ``baseline`` up to and including that migration.

    What the migration needs in other apps of the baseline is their history, too. Where
    the migration is replaced by a squashed one, that counts if the migration is the
    last that it replaces.
    """
    found: set[MigrationKey] = set()
    for key in baseline.items():
        if key in migrations:
            found |= ancestors([key], needs) | {key}
            continue
        for squashed, migration in migrations.items():
            if key in migration.replaces:
                found |= ancestors([squashed], needs)
                if migration.replaces[-1] == key:
                    found.add(squashed)
    return {key for key in found if key[0] in baseline}


def ancestors(keys: Iterable[MigrationKey], needs: Needs) -> set[MigrationKey]:
    """What these migrations need, directly or through others."""
    found: set[MigrationKey] = set()
    asked: set[MigrationKey] = set()
    stack = [*keys]
    while stack:
        key = stack.pop()
        if key not in asked:
            asked.add(key)
            needed = [*needs(key)]
            found.update(needed)
            stack += needed
    return found
