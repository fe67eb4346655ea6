"""What is audited: the migrations of a release, or each of them on its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.apps import apps
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.utils import Error

from syzygy import conf
from syzygy.audit import trees
from syzygy.graph import MigrationKey, baselined, topological
from syzygy.management.executor import loading
from syzygy.management.stager import check_squashed, soft_applied
from syzygy.rehearsal.start import present_at, with_replaced, would_be_created
from syzygy.stages import Policy
from syzygy.staging import Plan


@dataclass(frozen=True)
class Selection:
    """What to audit.

    Without more it is what isn't applied in the database ``alias``; with ``since`` what
    isn't there at that git ref, or what a commit of the git ``tree`` would bring, with
    what it edits; with ``everything`` all there is, each migration as if it were a
    release of its own. With ``fake_initial`` what the database has of it is only
    recorded. Findings about other migrations than the ``targets`` (app labels, or
    "app_label.migration_name") are left out, if there are any.
    """

    alias: str = DEFAULT_DB_ALIAS
    since: str | None = None
    tree: str | None = None
    everything: bool = False
    fake_initial: bool = False
    targets: Sequence[str] = ()

    @property
    def scope(self) -> str:
        """What is audited, in words."""
        if self.everything:
            return "all migrations, each on its own"
        if self.tree is not None:
            return f'what a commit would bring to "{self.since}"'
        if self.since is not None:
            return f'the migrations since "{self.since}"'
        return f'the migrations to apply to "{self.alias}"'


class Planner(NamedTuple):
    """What a plan is made with where there is no database."""

    loader: MigrationLoader
    connection: Any


class Scene(NamedTuple):
    """The migrations that there are, and the plan among them.

    Those of the plan that are ``faked`` are only recorded.
    """

    planner: MigrationExecutor | Planner
    plan: Plan
    faked: Collection[MigrationKey] = ()

    @property
    def nodes(self) -> dict[MigrationKey, Migration]:
        """The migrations of the graph."""
        nodes: dict[MigrationKey, Migration] = self.planner.loader.graph.nodes
        return nodes

    def parents(self, key: MigrationKey) -> list[MigrationKey]:
        """What a migration needs directly."""
        return [node.key for node in self.planner.loader.graph.node_map[key].parents]

    def policy(self) -> Policy:
        """What the settings say about stages."""
        configuration = conf.read()
        return configuration.policy(
            baselined(configuration.baseline, self.nodes, self.parents)
        )


def find(selection: Selection) -> Scene:
    """The migrations to audit.

    Raises :class:`CommandError` for migrations that can't be loaded and for a database
    that can't be asked, what :func:`~syzygy.rehearsal.start.present_at` raises for a
    ref, and :class:`InconsistentMigrationHistory`.
    """
    connection = connections[selection.alias]
    tree = trees.Tree()
    applied: Collection[MigrationKey]
    if selection.since is not None and selection.tree is not None:
        tree = trees.compare(selection.since, selection.tree)
        applied = tree.present
    elif selection.since is not None:
        applied = present_at(selection.since)
    elif selection.everything or would_be_created(connection):
        applied = ()
    else:
        return _pending(connection, fake_initial=selection.fake_initial)
    with loading(), trees.imported(tree):
        loader = _load(applied, tree)
    nodes, node_map = loader.graph.nodes, loader.graph.node_map
    order = topological(
        sorted(nodes), lambda key: [node.key for node in node_map[key].parents]
    )
    plan = [
        (nodes[key], False) for key in order if key not in loader.applied_migrations
    ]
    return Scene(Planner(loader, connection), plan)


def _load(applied: Collection[MigrationKey], tree: trees.Tree) -> MigrationLoader:
    try:
        return _OfflineLoader(applied, tree)
    except NodeNotFoundError as error:
        if error.node not in tree.untracked or error.origin is None:
            raise
        raise CommandError(
            f'Migration "{error.origin}" needs "{".".join(error.node)}", which is not '
            'to be committed: add that, too, with "git add".'
        ) from error


class _OfflineLoader(MigrationLoader):
    """Takes migrations for applied that it is told, rather than what a database has.

    Whether those that others replace count is then decided as ever. Those that there
    are, are the tree's.
    """

    def __init__(self, applied: Collection[MigrationKey], tree: trees.Tree) -> None:
        self._told = applied
        self._tree = tree
        super().__init__(None)

    def load_disk(self) -> None:
        """Django's, and what the tree doesn't have of it, or has besides."""
        super().load_disk()
        for key in self._tree.untracked:
            self.disk_migrations.pop(key, None)
        self.disk_migrations.update(self._tree.load_missing())

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "applied_migrations" and value is not None:
            # Django says that there are none where there is no connection.
            value = dict.fromkeys(with_replaced(self._told, self.disk_migrations))
        super().__setattr__(name, value)


def _pending(connection: BaseDatabaseWrapper, *, fake_initial: bool) -> Scene:
    try:
        with loading():
            executor = MigrationExecutor(connection)
        executor.loader.check_consistent_history(connection)
        check_squashed(executor.loader)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        faked = soft_applied(executor, plan) if fake_initial else ()
    except Error as error:
        raise CommandError(
            f'The database "{connection.alias}" can\'t be asked what is applied in it '
            f"({' '.join(str(error).split())}). To audit without a database, add "
            "--since origin/main or --all."
        ) from error
    return Scene(executor, plan, faked)


def resolve(
    targets: Sequence[str], known: Collection[MigrationKey]
) -> Collection[MigrationKey]:
    """The migrations that are meant by app labels and "app_label.migration_name".

    The begin of a name will do. Raises :class:`CommandError` for what is none.
    """
    return {key for target in targets for key in _resolve(target, known)}


def _resolve(target: str, known: Collection[MigrationKey]) -> Iterator[MigrationKey]:
    app_label, dot, name = target.partition(".")
    of_app = sorted(key for key in known if key[0] == app_label)
    if app_label not in apps.app_configs:
        raise CommandError(
            f'There is no app "{app_label}": name apps by their labels, and migrations '
            'as in "blog.0002_author".'
        )
    if not dot:
        yield from of_app
        return
    found = [key for key in of_app if key[1] == name] or [
        key for key in of_app if name and key[1].startswith(name)
    ]
    if not found:
        raise CommandError(
            f'The app "{app_label}" has no migration whose name begins with "{name}".'
        )
    if len(found) > 1:
        names = ", ".join(f'"{key[1]}"' for key in found)
        raise CommandError(f'"{target}" may be any of {names}: write more of the name.')
    yield from found
