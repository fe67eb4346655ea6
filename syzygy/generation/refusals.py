"""What no order within one deployment makes safe, and what to write instead.

Pure: told from the operations that Django would write and the state before them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelTable,
    DeleteModel,
    Migration,
    RemoveField,
    RenameField,
    RenameModel,
)
from django.db.migrations.operations.base import Operation

from syzygy import rules
from syzygy.alterations import is_generated, join_table
from syzygy.computed import sources
from syzygy.generation.fields import changed
from syzygy.generation.keys import pointed_at
from syzygy.generation.moves import (
    another_place,
    inherited,
    left_behind,
    left_out,
    moved_models,
    name_of,
    occupied,
    renamed_models,
)
from syzygy.generation.renamed_fields import with_columns, with_new_names
from syzygy.generation.states import in_state
from syzygy.generation.tables import owners, taken
from syzygy.generation.ways import (
    LATER,
    Refusal,
    line,
    new_model,
    old_column,
    parent,
    rename_field,
    rename_model,
)
from syzygy.history import AnyField, History, ModelKey
from syzygy.requirements import operation_rules
from syzygy.rules import Rule

_CREATED = "created"
# The new keys of models by the old ones.
Renamed: TypeAlias = Mapping[ModelKey, ModelKey]


def refusals(
    migrations: Iterable[Migration],
    history: History,
    goal: History,
    renamed: Renamed,
) -> list[Refusal]:
    """What of Django's migrations is unsafe in whatever stage.

    They come in the order in which they would be applied; ``history`` is the state
    before them, and is the one after them in the end. The ``goal`` is the state of all
    apps, those of which nothing is written included. The models that may have been
    ``renamed`` are no concern of this, nor is what refers to them.
    """
    migrations = list(migrations)
    written = {each.app_label for each in migrations}
    actual = renamed_models(migrations)
    tables = owners(history)
    gone = _deleted(migrations)
    history.origin, history.unseen = _CREATED, (_CREATED,)
    moved = list(moved_models(migrations, history))
    found = [another_place(old, new, name, history) for old, new, name in moved]
    renamed = {**renamed, **{old: new for old, new, _ in moved}}
    names: dict[ModelKey, dict[str, str]] = defaultdict(dict)
    for migration in migrations:
        app_label = migration.app_label
        replaced = _replaced(migration, migrations, history)
        links = _links(migration)
        for operation in migration.operations:
            _follow_renames(operation, app_label, history, names)
            judged = _by_old_name(operation, app_label, history, actual)
            reasons = operation_rules(judged, app_label, history)
            if isinstance(operation, RemoveField) and (
                (app_label, operation.model_name_lower) in gone
            ):
                pass  # What Django takes apart before it goes, goes as a whole.
            elif isinstance(operation, RemoveField) and (
                _field_key(operation) in replaced
            ):
                new = replaced[_field_key(operation)]
                if not _follows(operation, app_label, history, new[1], renamed):
                    found += _other_field(operation, app_label, history, new)
            elif isinstance(operation, AlterField) and _follows(
                operation, app_label, history, operation.field, renamed
            ):
                pass
            elif refusal := (
                inherited(operation, app_label, history)
                or occupied(operation, app_label, history)
                or left_behind(operation, app_label, history, goal)
                or left_out(operation, app_label, history, written)
            ):
                found.append(refusal)
            elif never := _unstageable(reasons):
                link = links.get(getattr(operation, "model_name_lower", ""))
                found += _never(operation, app_label, history, (never, link))
            if not _is_a_proxy_that_goes(operation, app_label, history):
                history.advance(operation, app_label)
    renamed = renamed | actual
    found += taken(tables, owners(history), owners(goal), renamed)
    return list(dict.fromkeys(found))


def _never(
    operation: Operation,
    app_label: str,
    history: History,
    why: tuple[Rule, AddField | None],
) -> Iterator[Refusal]:
    never, link = why
    if link and never.why == rules.CHANGE_PRIMARY_KEY.why:
        model = name_of(history, (app_label, link.model_name_lower))
        yield parent(app_label, model, link.name, link.field)
    else:
        yield from _explain(operation, app_label, history, never)


def _follow_renames(
    operation: Operation,
    app_label: str,
    history: History,
    names: dict[ModelKey, dict[str, str]],
) -> None:
    """Have a generated field known by the new ``names`` before it is altered."""
    for each in in_state([operation]):
        if not isinstance(each, RenameField | AlterField):
            continue
        key = (app_label, each.model_name_lower)
        if isinstance(each, RenameField):
            names[key][each.old_name] = each.new_name
            continue
        model = history.model(key)
        if model and names[key] and each.name in model.fields:
            known = with_columns(model, names[key])
            field = with_new_names(model.fields[each.name], each.field, known)
            if field is not None:
                model.fields[each.name] = field


def _is_a_proxy_that_goes(
    operation: Operation, app_label: str, history: History
) -> bool:
    """Whether that is so. Django has it go before what refers to it gets its model."""
    if not isinstance(operation, DeleteModel):
        return False
    model = history.model((app_label, operation.name_lower))
    return bool(model and model.options.get("proxy"))


def _deleted(migrations: Iterable[Migration]) -> set[ModelKey]:
    return {
        (migration.app_label, operation.name_lower)
        for migration in migrations
        for operation in migration.operations
        if isinstance(operation, DeleteModel)
    }


def _follows(
    operation: Any, app_label: str, history: History, new: AnyField, renamed: Renamed
) -> bool:
    """Whether a relation points at a model by its new name, if it was renamed."""
    key = (app_label, operation.model_name_lower)
    old = history.field(key, operation.name)
    if not (renamed and old and old.remote_field and new.remote_field):
        return False
    return renamed.get(history.related(key, old)) == history.related(key, new)


def _by_old_name(
    operation: Operation, app_label: str, history: History, renamed: Renamed
) -> Operation:
    """An altered relation to a model that is renamed, as if it weren't.

    Django may alter it before that in another app, though the model is the same.
    """
    if not isinstance(operation, AlterField) or not _follows(
        operation, app_label, history, operation.field, renamed
    ):
        return operation
    old = history.field((app_label, operation.model_name_lower), operation.name)
    field = pointed_at(operation.field, old)
    return AlterField(operation.model_name, operation.name, field)


def _unstageable(judged: Iterable[Rule]) -> Rule | None:
    judged = list(judged)
    never = [rule for rule in judged if not rule.stageable]
    if never:
        # Another name of the column is the least of what may be wrong.
        return next(
            (each for each in never if each is not rules.RENAME_COLUMN), never[0]
        )
    codes = {rule.code for rule in judged}
    if {rules.ADD_ON_DELETE.code, rules.DROP_ON_DELETE.code} <= codes:
        return rules.DROP_ON_DELETE
    return None


_KIND = "the releases would use one name in two ways"


def _field_key(operation: Any) -> tuple[str, str]:
    return operation.model_name_lower, operation.name_lower


def _replaced(
    migration: Migration, migrations: Iterable[Migration], history: History
) -> dict[tuple[str, str], tuple[str, AnyField]]:
    """The fields that go while others of their name or place come, which these are.

    Those come in any of the ``migrations`` of the app.
    """
    replaced = {}
    removed = [each for each in migration.operations if isinstance(each, RemoveField)]
    added = [
        operation
        for each in migrations
        if each.app_label == migration.app_label
        for operation in each.operations
        if isinstance(operation, AddField)
    ]
    for gone in removed:
        key = (migration.app_label, gone.model_name_lower)
        old = history.field(key, gone.name)
        table = history.table(key)
        place = old and _place(table, gone.name, old)
        for new in added:
            if new.model_name_lower == gone.model_name_lower and (
                new.name == gone.name
                or (place and place == _place(table, new.name, new.field))
            ):
                replaced[_field_key(gone)] = (new.name, new.field)
    return replaced


def _links(migration: Migration) -> dict[str, AddField]:
    """What comes to link models to a parent, by the names of the models."""
    added = [each for each in migration.operations if isinstance(each, AddField)]
    return {
        each.model_name_lower: each
        for each in added
        if getattr(each.field.remote_field, "parent_link", False)
    }


def _other_field(
    operation: Any, app_label: str, history: History, new: tuple[str, AnyField]
) -> Iterator[Refusal]:
    """A field that goes while another one of its name or in its place comes."""
    name, field = new
    if name == operation.name:
        return _new_field(operation, app_label, history, (field, _KIND))
    if field.many_to_many:
        return _same_join_table(operation, app_label, history, new)
    return _renamed_and_changed(operation, app_label, history, name)


def _renamed_and_changed(
    operation: RemoveField, app_label: str, history: History, new: str
) -> Iterator[Refusal]:
    """A field that keeps its column by another name, and is another field besides."""
    key = (app_label, operation.model_name_lower)
    field = history.field(key, operation.name)
    if field is not None:
        column = field.db_column or old_column(operation.name, field)
        yield Refusal(
            app_label,
            f'Renaming the field "{operation.name}" of "{app_label}.'
            f'{name_of(history, key)}" to "{new}" and changing it at once is unsafe: '
            "it is taken for another field, and two can't share a column.",
            (
                (
                    "Rename it alone for now, and change it in a later release:",
                    (line(new, changed(field, db_column=column)),),
                ),
            ),
            (*key, new),
        )


def _same_join_table(
    operation: RemoveField, app_label: str, history: History, new: tuple[str, AnyField]
) -> Iterator[Refusal]:
    """A many-to-many field that has the join table of another one from now on."""
    key = (app_label, operation.model_name_lower)
    field = history.field(key, operation.name)
    if field is not None:
        own_table = new[1].clone()
        own_table.db_table = None
        yield Refusal(
            app_label,
            f'Having "{new[0]}" of "{app_label}.{name_of(history, key)}" take the join '
            f'table of "{operation.name}" is unsafe: it is taken for another field, '
            "and two can't share a table.",
            (
                ("Keep its name:", (line(operation.name, field),)),
                (
                    "Or let it have a table of its own, and copy the rows:",
                    (line(new[0], own_table),),
                ),
            ),
            (*key, new[0]),
        )


def _place(table: str, name: str, field: AnyField) -> str | None:
    """The column, or the join table, of a field of the model that has that table."""
    if not field.many_to_many:
        return field.db_column or old_column(name, field)
    return join_table(table, name, field)


def _explain(
    operation: Operation, app_label: str, history: History, rule: Rule
) -> Iterator[Refusal]:
    if isinstance(operation, RenameField):
        key = (app_label, operation.model_name_lower)
        field = history.field(key, operation.old_name)
        if field is not None:
            field = field.clone()
            field.name = operation.new_name
            yield rename_field(
                app_label,
                name_of(history, key),
                history.table(key),
                operation.old_name,
                field,
            )
    elif isinstance(operation, RenameModel):
        yield _renamed_model(operation, app_label, history, rule)
    elif isinstance(operation, AlterModelTable):
        key = (app_label, operation.name_lower)
        yield _altered_table(key, name_of(history, key), history, operation, rule)
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
            new_model(old, new),
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
            new_model(name, f"New{name}"),
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
    was = () if old.auto_created else (line(name, old),)
    if why == rules.RENAME_COLUMN.why and new is not None:
        column = old.db_column or old_column(name, old)
        was = (line(name, changed(new, db_column=column)),)
    what = "Removing" if new is None else "Altering"
    keep = "Keep it as it is:" if was else "Leave it to Django, as it was."
    if _is_made_of_renamed(history, key, name):
        was = ()
        keep = "Keep it as it is, but for the new names of the fields that it names."
    ways: list[tuple[str, tuple[str, ...]]] = [(keep, was)]
    if new is not None and why != rules.CHANGE_PRIMARY_KEY.why:
        beside = changed(new, null=True) if _may_be_null(new) else new
        ways.append(
            (
                f"Or add a new field beside it, back-fill that, have the next release "
                f'use it, and remove "{name}" {LATER}',
                (*was, line(f"new_{name}", beside)),
            )
        )
    else:
        model = name_of(history, key)
        ways.append(new_model(model, f"New{model}"))
    yield Refusal(
        app_label,
        f'{what} the field "{name}" of "{app_label}.{name_of(history, key)}" like that '
        f"is unsafe: {why}.",
        tuple(ways),
    )


def _is_made_of_renamed(history: History, key: ModelKey, name: str) -> bool:
    """Whether a generated field names fields by the names that they had."""
    model = history.models[key]
    field = model.fields[name]
    return is_generated(field) and not sources(model, name) <= model.fields.keys()


def _may_be_null(field: AnyField) -> bool:
    return not (field.many_to_many or field.generated)
