"""Which migrations need which, and an order that respects it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from django.db.migrations import Migration

MigrationKey: TypeAlias = tuple[str, str]
# What tells its dependencies: a migration, or the class that makes one.
AnyMigration: TypeAlias = Migration | type[Migration]
NeedsTable: TypeAlias = dict[MigrationKey, tuple[MigrationKey, ...]]
Needs: TypeAlias = Callable[[MigrationKey], Iterable[MigrationKey]]


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
) -> NeedsTable:
    """What each of these migrations needs directly, as far as it is one of them.

    That is Django's graph in small, for migrations that no loader has seen: with
    ``run_before``, ``__first__``, ``__latest__`` and squashed migrations in place of
    those they replace.
    """
    resolve = _Resolver(migrations)
    # Tuples of strings are no work for the garbage collector.
    needs: NeedsTable = dict.fromkeys(migrations, ())
    for key, migration in migrations.items():
        for parent in migration.dependencies:
            if parent in migrations:
                needs[key] += (parent,)
            else:
                needs[key] += tuple(resolve(*parent, key[0]))
        for app_label, name in migration.run_before:
            for child in resolve(app_label, name, key[0]):
                needs[child] += (key,)
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
            of_app = self._by_app[app_label]
            return of_app if name == "__latest__" else filter(self._is_first, of_app)
        key = (app_label, name)
        passed = set()
        while key not in self._migrations and key not in passed:
            passed.add(key)
            key = self._replacements.get(key, key)
        return (key,) if key in self._migrations else ()

    def _is_first(self, key: MigrationKey) -> bool:
        parents = self._migrations[key].dependencies
        return all(app_label != key[0] for app_label, _ in parents)


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

    Where the migration is replaced by a squashed one, that counts if the migration is
    the last that it replaces.
    """
    stack = []
    for key in baseline.items():
        if key in migrations:
            stack.append(key)
            continue
        for squashed, migration in migrations.items():
            if key in [tuple(replaced) for replaced in migration.replaces]:
                is_last = tuple(migration.replaces[-1]) == key
                stack += [squashed] if is_last else _same_app(squashed, needs)
    found: set[MigrationKey] = set()
    while stack:
        key = stack.pop()
        if key not in found:
            found.add(key)
            stack += _same_app(key, needs)
    return found


def _same_app(key: MigrationKey, needs: Needs) -> list[MigrationKey]:
    return [need for need in needs(key) if need[0] == key[0]]
