"""Models that come in the place of others, or get other names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db.migrations import (
    AddField,
    CreateModel,
    DeleteModel,
    Migration,
    RenameModel,
)
from django.db.migrations.utils import resolve_relation

from syzygy import rules
from syzygy.generation.keys import bases, references
from syzygy.generation.ways import Refusal, new_model
from syzygy.history import History, ModelKey


def renamed_models(migrations: Iterable[Migration]) -> dict[ModelKey, ModelKey]:
    """The new keys of the models that are renamed, by the old ones."""
    return {
        (migration.app_label, operation.old_name_lower): (
            migration.app_label,
            operation.new_name_lower,
        )
        for migration in migrations
        for operation in migration.operations
        if isinstance(operation, RenameModel)
    }


def moved_models(
    migrations: Iterable[Migration], history: History
) -> Iterator[tuple[ModelKey, ModelKey, str]]:
    """Models that go in one place, and come in another with their rows or table.

    By their old and their new keys, with the new names.
    """
    created: dict[ModelKey, CreateModel] = {}
    added: dict[ModelKey, set[str]] = defaultdict(set)
    deleted: list[ModelKey] = []
    for migration in migrations:
        app_label = migration.app_label
        for operation in migration.operations:
            if isinstance(operation, CreateModel):
                key = (app_label, operation.name_lower)
                created[key] = operation
                added[key] |= {name for name, _ in operation.fields}
            elif isinstance(operation, AddField):
                added[app_label, operation.model_name_lower].add(operation.name)
            elif isinstance(operation, DeleteModel):
                deleted.append((app_label, operation.name_lower))
    for old in deleted:
        table = history.table(old) if history.has_table(old) else None
        for key, new in created.items():
            alike = old[1] == key[1] and _fields(history, old) == added[key]
            if old == key or (
                table and (alike or _is_its_table(table, key, new.options))
            ):
                yield old, key, new.name


def _is_its_table(table: str, key: ModelKey, options: Mapping[str, Any]) -> bool:
    own = options.get("db_table") or "_".join(key)
    return bool(own == table and not options.get("proxy"))


def another_place(old: ModelKey, new: ModelKey, name: str, history: History) -> Refusal:
    """What to do instead of having a model take the place of another one."""
    if old[0] == new[0] and old != new:
        return _renamed_model_and_changed(old, new, name, history)
    return _move(old, new, history)


def _fields(history: History, key: ModelKey) -> set[str]:
    model = history.model(key)
    return set(model.fields) if model else set()


def _renamed_model_and_changed(
    old: ModelKey, new: ModelKey, name: str, history: History
) -> Refusal:
    return Refusal(
        new[0],
        f'Renaming the model "{old[0]}.{name_of(history, old)}" to "{name}" and '
        "changing its fields at once is unsafe: it is taken for another model, and two "
        "can't share a table.",
        (
            (
                "Rename it alone for now, and change its fields in a later release:",
                ("class Meta:", f'    db_table = "{history.table(old)}"'),
            ),
        ),
        new,
    )


def _move(old: ModelKey, new: ModelKey, history: History) -> Refusal:
    name, table = name_of(history, old), history.table(old)
    problem = f'Making the model "{".".join(new)}" of "{".".join(old)}"'
    if old == new:
        problem = f'Making another model of "{old[0]}.{name}", with or without a table,'
    return Refusal(
        new[0],
        f"{problem} is unsafe: {rules.RENAME_MODEL.why}.",
        (
            (
                f'Keep the table "{table}" and write the migrations by hand, with '
                "SeparateDatabaseAndState that changes the state alone:",
                (
                    f"class {name}(models.Model):",
                    "    class Meta:",
                    f'        db_table = "{table}"',
                ),
            ),
            new_model(name, f"New{name}"),
        ),
        new,
    )


def inherited(operation: Any, label: str, history: History) -> Refusal | None:
    """What to do instead of renaming a model that others inherit from, if it is that.

    Django leaves their bases as they are, so that no model can be made of them.
    """
    if not isinstance(operation, RenameModel):
        return None
    key = (label, operation.old_name_lower)
    heirs = [
        f'"{other.app_label}.{other.name}"'
        for other in history.models.values()
        for base in other.bases
        if isinstance(base, str) and resolve_relation(base, other.app_label) == key
    ]
    if not heirs:
        return None
    old, new = operation.old_name, operation.new_name
    return Refusal(
        label,
        f'Renaming the model "{label}.{old}" to "{new}" could not be applied: Django '
        f"doesn't rename it in the bases of {', '.join(heirs)}.",
        (
            (
                "Keep the name of the model, and give it the other one besides:",
                (f"class {old}(models.Model): ...", f"{new} = {old}"),
            ),
        ),
    )


def occupied(operation: Any, label: str, history: History) -> Refusal | None:
    """What to do instead of giving a model the name that a proxy or the like has."""
    if not isinstance(operation, RenameModel):
        return None
    other = history.model((label, operation.new_name_lower))
    if other is None:
        return None
    old, new = operation.old_name, operation.new_name
    return Refusal(
        label,
        f'Renaming the model "{label}.{old}" to "{new}" could not be applied: '
        f'migrations have another model of that name by then, "{label}.{other.name}".',
        (
            (
                "Take that one out of the models, or rename it, for now, run "
                f'"makemigrations", and rename "{old}" after that by another run.',
                (),
            ),
        ),
    )


def left_out(
    operation: Any, label: str, history: History, written: Collection[str]
) -> Refusal | None:
    """What to do instead of deleting a model without what needs it in another app.

    Django doesn't see that proxies need a model, nor that anything needs a proxy.
    """
    if not isinstance(operation, DeleteModel):
        return None
    gone = (label, operation.name_lower)
    apps = {
        key[0]
        for key, model in history.models.items()
        if key[0] not in written and gone in references(key, model)
    }
    if not apps:
        return None
    names = ", ".join(f'"{app}"' for app in sorted(apps))
    labels = " ".join(sorted({label, *apps}))
    return Refusal(
        label,
        f'Deleting the model "{label}.{operation.name}" could not be applied: there '
        f"are models of {names} that need it, until that is written as well.",
        (
            (
                "Have all of it written:",
                (f"python manage.py makemigrations {labels}",),
            ),
        ),
    )


def left_behind(
    operation: Any, label: str, history: History, goal: History
) -> Refusal | None:
    """What to do instead of deleting a model that is needed by models without a table.

    Whatever changes in the bases of a proxy, or in an unmanaged model, Django doesn't
    write it. So no model could be made of them any more.
    """
    if not isinstance(operation, DeleteModel):
        return None
    gone = (label, operation.name_lower)
    name = f"{label}.{operation.name}"
    heirs = [
        f'"{key[0]}.{model.name}"'
        for key, model in history.models.items()
        if key in goal.models and history.has_table(key) and gone in bases(key, model)
    ]
    if heirs and not history.has_table(gone):
        return Refusal(
            label,
            f'Deleting the proxy "{name}" could not be applied: Django leaves the '
            f"bases of {', '.join(heirs)} as they are.",
            ((f'Keep "{name}".', ()),),
        )
    left = [
        f'"{key[0]}.{model.name}"'
        for key, model in history.models.items()
        if key in goal.models
        and not (history.has_table(key) or goal.has_table(key))
        and gone in references(key, model)
    ]
    if not left:
        return None
    names = ", ".join(left)
    return Refusal(
        label,
        f'Deleting the model "{name}" could not be applied: in '
        f"migrations, {names} would need it still, as Django doesn't write what "
        "changes in models without tables of their own.",
        (
            (
                f'Take {names} out of the models as well, run "makemigrations", put '
                "back what you took, and run it again. No table notices that.",
                (),
            ),
        ),
    )


def name_of(history: History, key: ModelKey) -> str:
    """The name of a model as it is written in its app, if it is known."""
    model = history.model(key)
    return model.name if model else key[1]
