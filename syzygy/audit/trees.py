"""The migrations of a git tree, such as that of a commit which is about to be made.

Nothing is checked out: where a file holds something else than the tree, Python is given
what the tree has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from typing import Any

from django.apps import apps
from django.db.migrations import Migration

from syzygy.disk import MigrationFolder, migration_folder
from syzygy.git import Blob, Repository
from syzygy.graph import MigrationKey
from syzygy.rehearsal.sources import is_same_migration
from syzygy.rehearsal.start import by_folder, is_elsewhere


@dataclass
class Tree:
    """The migrations of a tree beside those of a commit, and those of the work tree.

    ``present`` are those that the commit has as they are, and those of which the
    repository knows nothing; ``untracked`` those that the tree doesn't have.
    ``missing`` are the ones that only the tree has, by the folders they belong into.
    ``sources`` are the modules of which the work tree has another version, or none:
    where their files are, and what the tree has in them.
    """

    present: set[MigrationKey] = field(default_factory=set)
    untracked: set[MigrationKey] = field(default_factory=set)
    missing: list[tuple[MigrationFolder, str]] = field(default_factory=list)
    sources: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def load_missing(self) -> Iterator[tuple[MigrationKey, Migration]]:
        """The migrations that only the tree has.

        Raises :class:`BadMigrationError` for what is none.
        """
        for folder, name in self.missing:
            for key, migration in folder.load([name]).items():
                yield key, migration.instance()


def compare(ref: str, tree: str) -> Tree:
    """What a commit of the tree would bring to the commit that a ref stands for.

    Both are of the repository around the current folder. Raises :class:`~syzygy.git.
    GitError` if there is no such repository, commit or tree.
    """
    repository = Repository.around(os.getcwd())
    before = repository.files(repository.commit(ref), ".py")
    after = repository.files(repository.tree(tree), ".py")
    changed = _changed(repository, before, after)
    then, now = by_folder(before), by_folder(after)
    found = Tree()
    modules: dict[str, str] = {}
    untracked: dict[str, MigrationKey] = {}
    for app_config in apps.get_app_configs():
        here = migration_folder(app_config)
        if here is None:
            continue
        label = here.app_label
        if is_elsewhere(app_config, here, repository):
            found.present |= {(label, name) for name in here.names}
            continue
        for location in here.locations:
            folder = repository.path(location)
            files = now.get(folder, {})
            found.present |= {
                (label, name)
                for name in {*then.get(folder, {}), *files}
                if f"{folder}/{name}.py" not in changed
            }
            untracked |= {
                f"{folder}/{name}.py": (label, name)
                for name in here.names
                if name not in files
            }
            found.missing += [(here, name) for name in files if name not in here.names]
            modules |= {path: f"{here.package}.{name}" for name, path in files.items()}
    differing = repository.differing({path: after[path] for path in modules})
    texts = repository.contents(after[path] for path in differing)
    for path in differing:
        file = os.path.join(repository.root, path)
        found.sources[modules[path]] = file, texts[after[path]]
    # What git is told to ignore is there for everybody, wherever it comes from.
    ignored = repository.ignored(untracked)
    found.present |= {key for path, key in untracked.items() if path in ignored}
    found.untracked |= {key for path, key in untracked.items() if path not in ignored}
    return found


def _changed(
    repository: Repository, before: Mapping[str, Blob], after: Mapping[str, Blob]
) -> Collection[str]:
    """The files of a tree that are new or do something else than at the commit.

    One that was only moved is neither.
    """
    moved = {
        (os.path.basename(path), blob)
        for path, blob in before.items()
        if path not in after
    }
    changed = {
        path
        for path, blob in after.items()
        if before.get(path) != blob and (os.path.basename(path), blob) not in moved
    }
    edited = [path for path in changed if path in before]
    texts = repository.contents(
        blob for path in edited for blob in (before[path], after[path])
    )
    return changed - {
        path
        for path in edited
        if is_same_migration(texts[before[path]], texts[after[path]])
    }


@contextmanager
def imported(tree: Tree) -> Iterator[None]:
    """Have what is imported from now on be what the tree has."""
    finder = _Finder(tree.sources)
    for name in tree.sources:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds modules whose sources it is given."""

    def __init__(self, sources: Mapping[str, tuple[str, bytes]]) -> None:
        self._sources = sources

    def find_spec(self, name: str, *args: Any) -> ModuleSpec | None:
        if name not in self._sources:
            return None
        path, source = self._sources[name]
        return spec_from_file_location(name, path, loader=_Loader(name, path, source))


class _Loader(SourceFileLoader):
    """Loads a module of another source than its file has."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_data(self, path: str) -> bytes:
        """The source, whatever the path: there is nothing compiled of it."""
        return self._source

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """None, so that Python neither looks for compiled code nor writes any."""
        raise OSError
