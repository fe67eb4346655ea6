"""What no order within one deployment makes safe, and what to write instead.

Pure: told from the operations that Django would write and the state before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelTable,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveField,
    RenameField,
    RenameModel,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.writer import MigrationWriter

from syzygy import rules
from syzygy.generation.fields import changed
from syzygy.history import AnyField, History, ModelKey
from syzygy.requirements import operation_rules
from syzygy.rules import Rule

_CREATED = "created"
_LATER = "in a later release."


class Refusal(NamedTuple):
    """A change that is unsafe while two releases run, and the ways out.

    The first of the ``ways`` is the safest. Each is a sentence and lines of models.py.
    """

    app_label: str
    problem: str
    ways: tuple[tuple[str, tuple[str, ...]], ...]

    def __str__(self) -> str:
        lines = [self.problem]
        for text, code in self.ways:
            lines += [text, *(f"    {line}" for line in code)]
        return "\n".join(lines)


def refusals(migrations: Iterable[Migration], history: History) -> list[Refusal]:
    """What of Django's migrations is unsafe in whatever stage.

    They come in the order in which they would be applied; ``history`` is the state
    before them, and is the one after them in the end.
    """
    migrations = list(migrations)
    history.origin, history.unseen = _CREATED, (_CREATED,)
    found = list(_moved(migrations, history))
    for migration in migrations:
        app_label = migration.app_label
        replaced = _replaced(migration, history)
        for operation in migration.operations:
            reasons = operation_rules(operation, app_label, history)
            if isinstance(operation, RemoveField) and _field_key(operation) in replaced:
                new = replaced[_field_key(operation)]
                found += _new_field(operation, app_label, history, (new, _KIND))
            elif never := _unstageable(reasons):
                found += _explain(operation, app_label, history, never)
            history.advance(operation, app_label)
    return list(dict.fromkeys(found))


def rename_field(app_label: str, model: str, old: str, field: AnyField) -> Refusal:
    """What may have been the renaming of a field, and can't be asked."""
    new = field.name
    pinned = changed(field, db_column=old_column(old, field))
    return Refusal(
        app_label,
        f'Renaming the field "{old}" of "{app_label}.{model}" to "{new}" is unsafe: '
        f"{rules.RENAME_COLUMN.why}.",
        (
            ("Keep the name of the column:", (line(new, pinned),)),
            (
                f'Or keep both fields for now, back-fill "{new}", have this release '
                f'use it, and remove "{old}" {_LATER}',
                (line(old, field), line(new, field)),
            ),
        ),
    )


def old_column(name: str, field: AnyField) -> str:
    """The column of a field that had that name."""
    is_key = field.remote_field and not field.many_to_many
    return f"{name}_id" if is_key else name


def rename_model(app_label: str, old: str, new: str, table: str) -> Refusal:
    """What may have been the renaming of a model, and can't be asked."""
    return Refusal(
        app_label,
        f'Renaming the model "{app_label}.{old}" to "{new}" is unsafe: '
        f"{rules.RENAME_MODEL.why}.",
        (
            (
                "Keep the name of the table:",
                (
                    f"class {new}(models.Model):",
                    "    class Meta:",
                    f'        db_table = "{table}"',
                ),
            ),
            _new_model(old, new),
        ),
    )


def needs_default(app_label: str, model: str, name: str, field: AnyField) -> Refusal:
    """A new field without a value for the rows that there are."""
    return Refusal(
        app_label,
        f'The new field "{name}" of "{app_label}.{model}" needs a value for the rows '
        "that there are and those that the running release inserts.",
        (
            (
                "Give it a default, or have it allow NULL:",
                (line(name, changed(field, null=True)),),
            ),
        ),
    )


def not_unique(app_label: str, model: str, name: str, field: AnyField) -> Refusal:
    """A new unique field with one default for all rows."""
    return Refusal(
        app_label,
        f'The new field "{name}" of "{app_label}.{model}" is unique and has one '
        "default for all rows, so that no two rows could have it.",
        (
            (
                "Have it allow NULL, or give it a default that is a function:",
                (line(name, changed(field, null=True, **_no_default(field))),),
            ),
        ),
    )


def _no_default(field: AnyField) -> dict[str, Any]:
    from django.db.models import NOT_PROVIDED

    return {"default": NOT_PROVIDED, "db_default": NOT_PROVIDED}


def line(name: str, field: AnyField) -> str:
    """The line of models.py that defines a field."""
    code, _ = MigrationWriter.serialize(field)
    code = code.replace("django.db.models.deletion.", "models.")
    return f"{name} = {' '.join(code.split())}"


def _unstageable(judged: Iterable[Rule]) -> Rule | None:
    judged = list(judged)
    for rule in judged:
        if not rule.stageable:
            return rule
    codes = {rule.code for rule in judged}
    if {rules.ADD_ON_DELETE.code, rules.DROP_ON_DELETE.code} <= codes:
        return rules.DROP_ON_DELETE
    return None


_KIND = "the releases would use one name in two ways"


def _field_key(operation: Any) -> tuple[str, str]:
    return operation.model_name_lower, operation.name_lower


def _replaced(
    migration: Migration, history: History
) -> dict[tuple[str, str], AnyField]:
    """The fields that go while others of their name or column come."""
    replaced = {}
    operations = migration.operations
    removed = [each for each in operations if isinstance(each, RemoveField)]
    added = [each for each in operations if isinstance(each, AddField)]
    for gone in removed:
        key = (migration.app_label, gone.model_name_lower)
        old = history.field(key, gone.name)
        for new in added:
            if new.model_name_lower == gone.model_name_lower and (
                new.name == gone.name
                or (old and _column(gone.name, old) == _column(new.name, new.field))
            ):
                replaced[_field_key(gone)] = new.field
    return replaced


def _column(name: str, field: AnyField) -> str | None:
    if field.many_to_many:
        return None
    return field.db_column or old_column(name, field)


def _explain(
    operation: Operation, app_label: str, history: History, rule: Rule
) -> Iterator[Refusal]:
    if isinstance(operation, RenameField):
        model = _name(history, (app_label, operation.model_name_lower))
        field = history.field(
            (app_label, operation.model_name_lower), operation.old_name
        )
        if field is not None:
            field = field.clone()
            field.name = operation.new_name
            yield rename_field(app_label, model, operation.old_name, field)
    elif isinstance(operation, RenameModel):
        yield _renamed_model(operation, app_label, history, rule)
    elif isinstance(operation, AlterModelTable):
        key = (app_label, operation.name_lower)
        yield _altered_table(key, _name(history, key), history, operation, rule)
    elif isinstance(operation, AlterField):
        new = (operation.field, rule.why)
        yield from _new_field(operation, app_label, history, new)
    elif isinstance(operation, RemoveField):
        yield from _new_field(operation, app_label, history, (None, rule.why))
    else:
        problem = f"{operation.describe()} is unsafe: {rule.why}."
        yield Refusal(app_label, problem, ((rule.remedy, ()),) if rule.remedy else ())


def _renamed_model(
    operation: RenameModel, app_label: str, history: History, rule: Rule
) -> Refusal:
    old, new = operation.old_name, operation.new_name
    if rule is rules.RENAME_MODEL:
        table = history.table((app_label, operation.old_name_lower))
        return rename_model(app_label, old, new, table)
    return Refusal(
        app_label,
        f'Renaming the model "{app_label}.{old}" to "{new}" is unsafe: {rule.why}.',
        (
            ("Keep the name of the model:", (f"class {old}(models.Model):",)),
            _new_model(old, new),
        ),
    )


def _altered_table(
    key: ModelKey,
    name: str,
    history: History,
    operation: AlterModelTable,
    rule: Rule,
) -> Refusal:
    table = history.table(key)
    return Refusal(
        key[0],
        f'Renaming the table of "{key[0]}.{name}" to '
        f'"{operation.table or "_".join(key)}" is unsafe: {rule.why}.',
        (
            (
                "Keep the name of the table:",
                (
                    f"class {name}(models.Model):",
                    "    class Meta:",
                    f'        db_table = "{table}"',
                ),
            ),
            _new_model(name, f"New{name}"),
        ),
    )


def _new_field(
    operation: Any,
    app_label: str,
    history: History,
    change: tuple[AnyField | None, str],
) -> Iterator[Refusal]:
    """A field that can't be what it is to be, nor go, and why."""
    new, why = change
    key = (app_label, operation.model_name_lower)
    name = operation.name
    old = history.field(key, name)
    if old is None:
        return
    was = line(name, old)
    if why == rules.RENAME_COLUMN.why and new is not None:
        column = old.db_column or old_column(name, old)
        was = line(name, changed(new, db_column=column))
    what = "Removing" if new is None else "Altering"
    ways: list[tuple[str, tuple[str, ...]]] = [("Keep it as it is:", (was,))]
    if new is not None and why != rules.CHANGE_PRIMARY_KEY.why:
        beside = changed(new, null=True) if _may_be_null(new) else new
        ways.append(
            (
                f"Or add a new field beside it, back-fill that, have the next release "
                f'use it, and remove "{name}" {_LATER}',
                (was, line(f"new_{name}", beside)),
            )
        )
    else:
        model = _name(history, key)
        ways.append(_new_model(model, f"New{model}"))
    yield Refusal(
        app_label,
        f'{what} the field "{name}" of "{app_label}.{_name(history, key)}" like that '
        f"is unsafe: {why}.",
        tuple(ways),
    )


def _may_be_null(field: AnyField) -> bool:
    return not (field.many_to_many or field.generated)


def _new_model(old: str, new: str) -> tuple[str, tuple[str, ...]]:
    return (
        f'Or keep "{old}" for now and add "{new}" beside it, copy the rows, have the '
        f'next release use "{new}", and remove "{old}" {_LATER}',
        (f"class {old}(models.Model): ...", f"class {new}(models.Model): ..."),
    )


def _moved(migrations: Iterable[Migration], history: History) -> Iterator[Refusal]:
    """Models that come in one place and go in another, with their rows or table."""
    created: dict[ModelKey, tuple[Mapping[str, Any], set[str]]] = {}
    deleted: list[ModelKey] = []
    for migration in migrations:
        app_label = migration.app_label
        for operation in migration.operations:
            if isinstance(operation, CreateModel):
                names = {name for name, _ in operation.fields}
                created[app_label, operation.name_lower] = (operation.options, names)
            elif isinstance(operation, AddField):
                key = (app_label, operation.model_name_lower)
                created.get(key, ({}, set()))[1].add(operation.name)
            elif isinstance(operation, DeleteModel):
                key = (app_label, operation.name_lower)
                deleted += [key] if history.has_table(key) else []
    for old in deleted:
        for key, (options, fields) in created.items():
            table = options.get("db_table") or "_".join(key)
            same_table = history.table(old) == table and not options.get("proxy")
            alike = old[1] == key[1] and _fields(history, old) == fields
            if old == key or alike or same_table:
                yield _move(old, key, history)


def _fields(history: History, key: ModelKey) -> set[str]:
    model = history.model(key)
    return set(model.fields) if model else set()


def _move(old: ModelKey, new: ModelKey, history: History) -> Refusal:
    name, table = _name(history, old), history.table(old)
    return Refusal(
        new[0],
        f'Making the model "{".".join(new)}" of "{".".join(old)}" is unsafe: '
        f"{rules.RENAME_MODEL.why}.",
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
            _new_model(".".join(old), ".".join(new)),
        ),
    )


def _name(history: History, key: ModelKey) -> str:
    model = history.model(key)
    return model.name if model else key[1]
