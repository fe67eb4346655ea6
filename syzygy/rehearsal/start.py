"""Where a rehearsal starts: the migrations that count as applied.

Each of the three ways returns them as a set of app label and name, and raises
:class:`StartError` if it can't.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from django.apps import AppConfig, apps
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from syzygy import conf
from syzygy.disk import MigrationFolder, migration_folder
from syzygy.git import Blob, Repository
from syzygy.graph import MigrationKey, baselined
from syzygy.rehearsal.sources import is_same_migration, replaced_in
from syzygy.stages import Source
from syzygy.third_party import is_third_party


class StartError(ValueError):
    """A rehearsal can't start there; the message is one line for people."""


# What is applied in the configured database


def applied_in(connection: BaseDatabaseWrapper) -> set[MigrationKey]:
    """What a database holds for applied. It is only read."""
    if would_be_created(connection):
        return set()
    try:
        return set(MigrationRecorder(connection).applied_migrations())
    except Error as error:
        raise StartError(
            f'The database "{connection.alias}" can\'t be asked which migrations are '
            f"applied ({' '.join(str(error).split())}). To start from the migrations "
            "of a commit instead, without a database, add --since origin/main"
        ) from error


def would_be_created(connection: BaseDatabaseWrapper) -> bool:
    """Whether the database is a file of SQLite's that connecting to would make."""
    name = str(connection.settings_dict["NAME"])
    return (
        connection.vendor == "sqlite"
        and name not in ("", ":memory:")
        and not name.startswith("file:")
        and not os.path.exists(name)
    )


# Targets


def before(targets: Iterable[str], graph: MigrationGraph) -> set[MigrationKey]:
    """All migrations but those that undoing an app to a target would undo.

    Targets are as in Django's ``migrate``, with a dot: ``blog.0042_name``, the begin of
    a name that no other migration of the app shares, or ``blog.zero``.
    """
    undone: set[MigrationKey] = set()
    for target in targets:
        after = _after(target, graph)
        stack = list(after)
        while stack:
            key = stack.pop()
            if key not in undone:
                undone.add(key)
                stack += _children(key, graph)
    return {key for key in graph.nodes if key not in undone}


def _after(target: str, graph: MigrationGraph) -> set[MigrationKey]:
    """The migrations of the target's app that come after it."""
    app_label, dot, name = target.partition(".")
    if not dot or not name:
        raise StartError(
            f'"{target}" is no migration: it takes an app label, a dot, and a name or '
            'the begin of one, such as "blog.0042", or "blog.zero".'
        )
    known = {key[1] for key in graph.nodes if key[0] == app_label}
    if not known:
        installed = app_label in {config.label for config in apps.get_app_configs()}
        raise StartError(
            f'The app "{app_label}" of "{target}" has no migrations.'
            if installed
            else f'There is no app "{app_label}", as in "{target}".'
        )
    if name == "zero":
        return {(app_label, other) for other in known}
    found = [name] if name in known else sorted(n for n in known if n.startswith(name))
    if not found:
        raise StartError(
            f'The app "{app_label}" has no migration whose name begins with "{name}"'
            f"{_squashed(app_label, name, graph)}."
        )
    if len(found) > 1:
        names = ", ".join(f'"{app_label}.{other}"' for other in found)
        raise StartError(f'"{target}" may be any of {names}: write more of the name.')
    later: set[MigrationKey] = set()
    stack = _children((app_label, found[0]), graph)
    while stack:
        key = stack.pop()
        if key not in later:
            later.add(key)
            stack += _children(key, graph)
    return {key for key in later if key[0] == app_label}


def _squashed(app_label: str, name: str, graph: MigrationGraph) -> str:
    """What has replaced the migrations of such a name, in words."""
    for key, migration in graph.nodes.items():
        for label, replaced in migration.replaces if migration else ():
            if label == app_label and replaced.startswith(name):
                return f', but "{key[0]}.{key[1]}", which replaces it'
    return ""


def _children(key: MigrationKey, graph: MigrationGraph) -> list[MigrationKey]:
    return [(child.key[0], child.key[1]) for child in graph.node_map[key].children]


def with_replaced(
    applied: Iterable[MigrationKey], migrations: Mapping[MigrationKey, Migration]
) -> set[MigrationKey]:
    """The applied migrations, and those that they replace.

    Django takes a squashed one for applied only where those are recorded as well.
    """
    found: set[MigrationKey] = set()
    stack = list(applied)
    while stack:
        key = stack.pop()
        if key not in found:
            found.add(key)
            if migration := migrations.get(key):
                stack += [(app_label, name) for app_label, name in migration.replaces]
    return found


# What there was at a git ref


class _App(NamedTuple):
    """An app of the repository: its migrations here, and the files of those then.

    The keys of ``then`` are names of migrations, the values paths below the root.
    """

    folder: MigrationFolder
    then: dict[str, str]

    def key(self, name: str) -> MigrationKey:
        return (self.folder.app_label, name)


def present_at(ref: str, folder: str | None = None) -> set[MigrationKey]:
    """The migrations that a commit has, of the repository around a folder.

    That is by default the current one. Nothing is checked out. The migrations of apps
    that the repository doesn't have all count, as do those that a squashed migration
    has replaced since. Raises :class:`syzygy.git.GitError`, too.
    """
    repository = Repository.around(os.getcwd() if folder is None else folder)
    blobs = repository.files(repository.commit(ref), ".py")
    present: set[MigrationKey] = set()
    own, unseen = [], []
    then = by_folder(blobs)
    for app_config in apps.get_app_configs():
        here = migration_folder(app_config) or _emptied_folder(app_config)
        if here is None:
            continue
        if is_elsewhere(app_config, here, repository):
            present |= {(here.app_label, name) for name in here.names}
            continue
        found: dict[str, str] = {}
        for location in here.locations:
            found |= then.get(repository.path(location), {})
        app = _App(here, found)
        own.append(app)
        if here.names and not found:
            unseen.append(app)
    for app in _ignored(unseen, repository):
        present |= {app.key(name) for name in app.folder.names}
        unseen.remove(app)
    _refuse_moved(unseen, then, blobs, repository, ref)
    _refuse_changed(own, blobs, repository, ref)
    return present | {app.key(name) for app in own for name in app.then}


def _emptied_folder(app_config: AppConfig) -> MigrationFolder | None:
    """Where an app without migrations may have had some."""
    package, is_explicit = MigrationLoader.migrations_module(app_config.label)
    if package is None or is_explicit:
        return None
    usual = os.path.join(app_config.path, package.rpartition(".")[2])
    return MigrationFolder(app_config.label, package, (usual,), ())


def by_folder(blobs: Iterable[str]) -> dict[str, dict[str, str]]:
    """The paths of the files that may be migrations, by folder and module name."""
    found: dict[str, dict[str, str]] = {}
    for path in blobs:
        folder, _, file = path.rpartition("/")
        name = file.removesuffix(".py")
        # As in Django, a module with another dot in its name can't be imported.
        if name and name[0] not in "_~" and "." not in name:
            found.setdefault(folder or ".", {})[name] = path
    return found


def is_elsewhere(
    app_config: AppConfig, folder: MigrationFolder, repository: Repository
) -> bool:
    """Whether the migrations aren't the repository's.

    The settings may have a third party's app keep its migrations with the project.
    """
    app_path = os.path.join(os.path.realpath(app_config.path), "")
    comes_along = all(
        os.path.realpath(location).startswith(app_path) for location in folder.locations
    )
    if comes_along and is_third_party(app_config):
        return True
    return not all(map(repository.has, folder.locations))


def _ignored(unseen: Iterable[_App], repository: Repository) -> list[_App]:
    """Those of the apps whose migrations git is told to ignore."""
    files = {
        repository.path(os.path.join(location, f"{app.folder.names[0]}.py")): app
        for app in unseen
        for location in app.folder.locations
    }
    return [files[path] for path in repository.ignored(files)]


def _refuse_moved(
    unseen: Iterable[_App],
    then: dict[str, dict[str, str]],
    blobs: dict[str, Blob],
    repository: Repository,
    ref: str,
) -> None:
    """Raise an error for an app that isn't new, but had another folder."""
    for app in unseen:
        here = repository.path(app.folder.locations[0])
        for folder, files in then.items():
            shared = {name: files[name] for name in app.folder.names if name in files}
            if any(
                os.path.lexists(os.path.join(repository.root, path))
                for path in shared.values()
            ):
                continue  # It is another app's.
            moved = {f"{here}/{name}.py": blobs[path] for name, path in shared.items()}
            is_same = len(repository.differing(moved)) < len(moved)
            if shared and (is_same or _tail(folder) == _tail(here)):
                raise StartError(
                    f'The migrations of "{app.folder.app_label}" are in "{here}", but '
                    f'were in "{folder}" at "{ref}": start from the database instead, '
                    "without --since, or name a later commit."
                )


def _tail(folder: str) -> list[str]:
    return folder.split("/")[-2:]


def _refuse_changed(
    own: Collection[_App], blobs: dict[str, Blob], repository: Repository, ref: str
) -> None:
    """Raise an error if history was rewritten, or if the commit's isn't all here."""
    common = {
        path: app.key(name)
        for app in own
        for name, path in app.then.items()
        if name in app.folder.names
    }
    differing = repository.differing({path: blobs[path] for path in common})
    old = repository.contents(blobs[path] for path in differing)
    edited = [
        path
        for path in differing
        if not is_same_migration(old[blobs[path]], _here(repository, path))
    ]
    if edited:
        texts = {common[path]: old[blobs[path]] for path in edited}
        here = {common[path]: _here(repository, path) for path in edited}
        _refuse_edited(texts, here, ref)
    gone = {
        app.key(name)
        for app in own
        for name in app.then
        if name not in app.folder.names
    }
    if gone:
        gone.difference_update(_replaced_here(own, gone))
    for path in differing if gone else ():
        gone -= replaced_in(old[blobs[path]])
    if gone:
        missing = f'{_named(sorted(gone), "is", "are")} at "{ref}" but not here'
        renamed = _renamed(own, gone, blobs, repository)
        if renamed.keys() != gone:
            raise StartError(f"{missing}: merge or rebase first.")
        old_key, new_key = min(renamed.items())
        raise StartError(
            f'{missing}, where "{".".join(new_key)}" does what "{".".join(old_key)}" '
            f"did: if it was renamed, have it say replaces = [{old_key!r}], for it is "
            "known by its old name where it is deployed; if not, merge or rebase first."
        )


def _refuse_edited(
    old: Mapping[MigrationKey, bytes],
    new: Mapping[MigrationKey, bytes | None],
    ref: str,
) -> None:
    """Raise an error for migrations that do something else than they did.

    The code of those that a baseline covers has run everywhere, and may be tidied up.
    """
    code_alone = {
        key for key in old if is_same_migration(old[key], new[key], but_for_code=True)
    }
    excused = code_alone & _history() if code_alone else set()
    edited = [key for key in old if key not in excused]
    if not edited:
        return
    way_out = ""
    if code_alone.issuperset(edited):
        way_out = (
            " Nothing but code has changed: if they are all deployed everywhere, say "
            f'so in the setting "{Source.BASELINE.value}", with the line that "python '
            'manage.py check_migrations --write-baseline" prints.'
        )
    raise StartError(
        f'{_named(edited)} edited since "{ref}", where it may be deployed: restore '
        "what it did and write another migration, or merge if it was edited there."
        f"{way_out}"
    )


def _history() -> set[MigrationKey]:
    """What the baseline of the settings covers."""
    baseline = conf.read().baseline
    if not baseline:
        return set()
    graph = MigrationLoader(None, replace_migrations=False).graph

    def needs(key: MigrationKey) -> list[MigrationKey]:
        return [node.key for node in graph.node_map[key].parents]

    return baselined(baseline, graph.nodes, needs)


def _renamed(
    own: Iterable[_App],
    gone: Collection[MigrationKey],
    blobs: dict[str, Blob],
    repository: Repository,
) -> dict[MigrationKey, MigrationKey]:
    """The new names of migrations whose files do the same as those that are gone."""
    found: dict[MigrationKey, MigrationKey] = {}
    for app in own:
        new = {name for name in app.folder.names if name not in app.then}
        paths = {name: path for name, path in app.then.items() if app.key(name) in gone}
        texts = repository.contents(blobs[path] for path in paths.values() if new)
        for name, path in sorted(paths.items()) if new else ():
            for other in sorted(new):
                here = _here(repository, f"{path.rpartition('/')[0]}/{other}.py")
                if is_same_migration(texts[blobs[path]], here):
                    found[app.key(name)] = app.key(other)
                    new.remove(other)
                    break
    return found


def _here(repository: Repository, path: str) -> bytes | None:
    try:
        with open(os.path.join(repository.root, path), "rb") as file:
            return file.read()
    except OSError:
        return None


def _replaced_here(
    own: Iterable[_App], gone: Collection[MigrationKey]
) -> Iterator[MigrationKey]:
    """What migrations on disk replace. Those that name nothing of it aren't loaded."""
    words = {name for _, name in gone}
    for app in own:
        names = [n for n in app.folder.names if app.folder.may_mention(n, words)]
        for migration in app.folder.load(names).values():
            yield from ((label, name) for label, name in migration.replaces)


def _named(
    keys: Collection[MigrationKey], one: str = "was", several: str = "were"
) -> str:
    names = ", ".join(f'"{app_label}.{name}"' for app_label, name in keys)
    if len(keys) == 1:
        return f"Migration {names} {one}"
    return f"Migrations {names} {several}"
