"""What to write so that PostgreSQL checks or builds something while others write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db.backends.utils import split_identifier, truncate_name
from django.db.migrations import (
    AddConstraint,
    AddField,
    AlterField,
    AlterUniqueTogether,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import (
    CharField,
    Deferrable,
    ForeignKey,
    OneToOneField,
    TextField,
)

from syzygy import rules
from syzygy.alterations import column_name, is_a, on_delete_action
from syzygy.audit import remedies
from syzygy.audit.base import AuditedOperation
from syzygy.audit.lasting import is_lasting
from syzygy.constants import Stage
from syzygy.constraints import unique_together
from syzygy.history import AnyField, History, ModelKey

# The bytes that PostgreSQL keeps of a name.
_ROOM = 63
_NEXT = "\n    # then, in the next migration"
_POST = Stage.POST_DEPLOY


def not_null(operation: AuditedOperation) -> str:
    """How to have PostgreSQL know beforehand that no row holds NULL."""
    model = operation.model[1] if operation.model else "model"
    field = getattr(operation.operation, "name", "") or "field"
    name = f"{model}_{field}_given"
    return (
        "Have a constraint prove it before, which locks nobody out for long: "
        "PostgreSQL then takes it from there and reads nothing.\n"
        "    from django.contrib.postgres.operations import AddConstraintNotValid, "
        "ValidateConstraint\n"
        f"    AddConstraintNotValid({model!r}, models.CheckConstraint(\n"
        f"        condition=models.Q({field}__isnull=False), name={name!r}))\n"
        "    # then, in the next migration\n"
        f"    ValidateConstraint({model!r}, {name!r})\n"
        # It is pre-deploy, so that it can't follow what is post-deploy at once.
        "    # then this one; it stays in the model's Meta until a later deployment\n"
        f"    migrations.RemoveConstraint({model!r}, {name!r})"
    )


def constraint(change: AddConstraint) -> str:
    """The code that adds the constraint, as far as it can be written."""
    try:
        from django.contrib.postgres.operations import AddConstraintNotValid
    except ImportError:
        written = ""
    else:
        written = remedies.code(
            AddConstraintNotValid(change.model_name, change.constraint)
        )
    return written or (
        "\n    from django.contrib.postgres.operations import AddConstraintNotValid\n"
        f"    AddConstraintNotValid({change.model_name!r}, ...)"
    )


def foreign_key(
    operation: AuditedOperation,
    key: ModelKey,
    change: AddField | AlterField,
    *,
    is_there: bool = False,
) -> str:
    """The code that adds a foreign key first, and its constraint later, unchecked.

    Altering the field in other ways, too, comes first. ``is_there`` says that nothing
    else is left to do.
    """
    history = operation.history
    field: AnyField = change.field
    table = _table(history, key)
    column = column_name(change.name, field)
    name = _name(table, [column], "fk")
    related = history.related(key, field)
    # Without a column it is the primary key.
    target = history.behind(related)
    others = _columns(history, target, filter(None, field.to_fields))
    action = on_delete_action(field)
    loose: AnyField = field.clone()
    loose.db_constraint = False
    alter = f"ALTER TABLE {_quoted(table)}"
    add = RunSQL(
        f"{alter} ADD CONSTRAINT {_quoted(name)} FOREIGN KEY ({_quoted(column)}) "
        f"REFERENCES {_quoted(_table(history, related))}"
        f"{f' ({_list(others)})' if others else ''}"
        f"{f' ON DELETE {action}' if action else ''} "
        "DEFERRABLE INITIALLY DEFERRED NOT VALID",
        f"{alter} DROP CONSTRAINT {_quoted(name)}",
    )
    validate = RunSQL(f"{alter} VALIDATE CONSTRAINT {_quoted(name)}", RunSQL.noop)
    option = "db_constraint=False"
    first = [] if is_there else _first(operation, change, loose, option)
    return _NEXT.join(
        [
            *first,
            _with_state([add], _altered(change)),
            remedies.code(validate, stage=_POST),
        ]
    )


class _Unique(NamedTuple):
    """A unique index to build, with what SQL says after its columns.

    ``deferrable`` is what SQL says of when its constraint is checked.
    """

    name: str
    columns: str
    ending: str = ""
    deferrable: str = ""


def unique_field(
    operation: AuditedOperation, key: ModelKey, change: AddField | AlterField
) -> str:
    """The code that has a field without its unique index first, and builds it later."""
    table = _table(operation.history, key)
    column = column_name(change.name, change.field)
    index = _Unique(_name(table, [column], "uniq"), _quoted(column))
    is_indexed = _is_indexed(operation, key, change)
    loose = _not_unique(change, db_index=is_indexed)
    # That index is of no more use, and Django takes it for gone.
    bare = _not_unique(change, db_index=False) if is_indexed else None
    dropped = [_altered(change, bare)] if bare else []
    return _NEXT.join(
        [
            *_first(operation, change, loose, "unique=False"),
            *_built(operation, table, [index], _altered(change), dropped),
        ]
    )


def loses_like(
    operation: AuditedOperation, key: ModelKey, change: AddField | AlterField
) -> bool:
    """Whether an index for LIKE goes with what ``unique_field()`` tells to do."""
    is_text = is_a(change.field, CharField) or is_a(change.field, TextField)
    return is_text and _is_indexed(operation, key, change)


def together(
    operation: AuditedOperation, key: ModelKey, change: AlterUniqueTogether
) -> str:
    """The code that builds the indexes of what is to be unique together.

    What isn't unique any more goes first: the new release needs that at once. It goes
    last if it keeps rows from the same until then.
    """
    history = operation.history
    table = _table(history, key)
    model = history.model(key)
    before = unique_together(model.options) if model else set()
    after = unique_together({"unique_together": change.option_value})
    columns = [_columns(history, key, each) for each in sorted(after - before)]
    indexes = [_Unique(_name(table, each, "uniq"), _list(each)) for each in columns]
    kept = [AlterUniqueTogether(change.name, before & after)] if before - after else []
    if _stage(operation) is not _POST:
        return _NEXT.join(_built(operation, table, indexes, change, kept))
    first = map(remedies.code, kept)
    return _NEXT.join([*first, *_built(operation, table, indexes, change)])


def unique_constraint(
    operation: AuditedOperation, key: ModelKey, change: AddConstraint
) -> str:
    """The code that builds the index of a constraint, and makes a constraint of it."""
    history, constraint = operation.history, change.constraint
    table = _table(history, key)
    index = _index(history, key, constraint)
    return _NEXT.join(_built(operation, table, [index], change))


def unique_index(
    operation: AuditedOperation, key: ModelKey, change: AddConstraint
) -> str:
    """The code that builds a constraint which is a mere index in the database.

    "..." stands for what only Django can tell: expressions, and a condition.
    """
    history, constraint = operation.history, change.constraint
    creation = _created(_table(history, key), [_index(history, key, constraint)])
    return _with_state(creation, change, stage=_stage(operation), atomic=False)


def _stage(operation: AuditedOperation) -> Stage:
    """When to build it: at once where something else has forbidden the same so far.

    That is, if it doesn't build others, too.
    """
    late = [rule for rule in operation.effects if rule.required is _POST]
    is_in_place = rules.REPLACE_CONSTRAINT in operation.effects or bool(late)
    if is_in_place and all(is_lasting(operation, rule) for rule in late):
        return operation.stage or Stage.PRE_DEPLOY
    return _POST


def _built(
    operation: AuditedOperation,
    table: str,
    indexes: Sequence[_Unique],
    stated: Operation,
    more: Sequence[Operation] = (),
) -> tuple[str, str]:
    """The code that builds indexes, and the code that makes constraints of them.

    ``stated`` is what these are in the models, ``more`` what the database has to do
    once there are these.
    """
    alter = f"ALTER TABLE {_quoted(table)}"
    using = [
        RunSQL(
            f"{alter} ADD CONSTRAINT {_quoted(index.name)} UNIQUE "
            f"USING INDEX {_quoted(index.name)}{index.deferrable}",
            f"{alter} DROP CONSTRAINT {_quoted(index.name)}",
        )
        for index in indexes
    ]
    creation = _created(table, indexes)
    stage = _stage(operation)
    create = remedies.code(*creation, stage=stage, atomic=False)
    return create, _with_state([*using, *more], stated, stage=stage)


def _created(table: str, indexes: Iterable[_Unique]) -> list[RunSQL]:
    """What builds indexes while others write, which takes no transaction."""
    namespace, _ = split_identifier(table)
    schema = f"{_quoted(namespace)}." if namespace else ""
    return [
        RunSQL(
            f"CREATE UNIQUE INDEX CONCURRENTLY {_quoted(index.name)} "
            f"ON {_quoted(table)} ({index.columns}){index.ending}",
            # With the constraint it is gone.
            f"DROP INDEX CONCURRENTLY IF EXISTS {schema}{_quoted(index.name)}",
        )
        for index in indexes
    ]


def _index(history: History, key: ModelKey, constraint: Any) -> _Unique:
    columns = map(_quoted, _columns(history, key, constraint.fields))
    if constraint.opclasses:
        columns = map(" ".join, zip(columns, constraint.opclasses, strict=False))
    ending = ""
    if constraint.include:
        ending += f" INCLUDE ({_list(_columns(history, key, constraint.include))})"
    if constraint.nulls_distinct is not None:
        ending += f" NULLS {'' if constraint.nulls_distinct else 'NOT '}DISTINCT"
    if constraint.condition:
        ending += " WHERE (...)"
    deferrable = ""
    if constraint.deferrable:
        is_late = constraint.deferrable is Deferrable.DEFERRED
        deferrable = f" DEFERRABLE INITIALLY {'DEFERRED' if is_late else 'IMMEDIATE'}"
    told = "..." if constraint.expressions else ", ".join(columns)
    return _Unique(constraint.name, told, ending, deferrable)


def _first(
    operation: AuditedOperation,
    change: AddField | AlterField,
    loose: AnyField | None,
    option: str,
) -> list[str]:
    """The code that does all but what locks others out, if that is something."""
    real = [rule for rule in operation.effects if rule.has_effect]
    if isinstance(change, AlterField) and len(real) == 1:
        return []
    cls = AddField if isinstance(change, AddField) else AlterField
    written = ""
    if loose is not None:
        first = cls(change.model_name, change.name, loose, change.preserve_default)
        written = remedies.code(first)
    return [written or f"\n    # {operation.description}, with {option}"]


def _is_indexed(
    operation: AuditedOperation, key: ModelKey, change: AddField | AlterField
) -> bool:
    """Whether the field has an index before the change."""
    old = operation.history.field(key, change.name)
    return isinstance(change, AlterField) and bool(old and old.db_index)


def _not_unique(change: AddField | AlterField, *, db_index: bool) -> AnyField | None:
    """The field with that index or none, and not unique; None if nobody can tell."""
    field: AnyField = change.field.clone()
    if is_a(field, OneToOneField):
        _, _, args, options = field.deconstruct()
        try:
            field = ForeignKey(*args, **options)
        except TypeError:
            # A class of its own takes something else.
            return None
    field._unique = False
    field.db_index = db_index
    return field


def _altered(
    change: AddField | AlterField, field: AnyField | None = None
) -> AlterField:
    """What alters the field: as the change has it, unless it is given."""
    return AlterField(
        change.model_name, change.name, field or change.field, change.preserve_default
    )


def _with_state(
    database: Sequence[Operation],
    stated: Operation,
    *,
    stage: Stage = _POST,
    atomic: bool = True,
) -> str:
    """The code that does something by SQL, and says what it is in the models."""
    both = SeparateDatabaseAndState([*database], [stated])
    return remedies.code(both, stage=stage, atomic=atomic) or (
        f"\n    # as database_operations; state_operations: {type(stated).__name__}"
        f"{remedies.code(*database, stage=stage, atomic=atomic)}"
    )


def _table(history: History, key: ModelKey) -> str:
    table = history.table(key)
    # Django shortens what it has made up itself, PostgreSQL cuts off any other name.
    is_made_up = table == "_".join(history.behind(key))
    return truncate_name(table, _ROOM) if is_made_up else table


def _columns(history: History, key: ModelKey, names: Iterable[str]) -> list[str]:
    fields: dict[str, Any] = {name: history.field(key, name) for name in names}
    return [
        column_name(name, field) if field else name for name, field in fields.items()
    ]


def _list(columns: Iterable[str]) -> str:
    return ", ".join(map(_quoted, columns))


def _name(table: str, columns: Iterable[str], ending: str) -> str:
    """A name for what belongs to the columns. No name that Django gives is like it.

    Nor is that for other columns: the name of a field has no "__" in it.
    """
    _, plain = split_identifier(table)
    return truncate_name(f"{plain}_{'__'.join(columns)}_{ending}", _ROOM)


def _quoted(name: str) -> str:
    """As Django quotes a name: one that is quoted stays, whatever it is made of."""
    return name if name.startswith('"') and name.endswith('"') else f'"{name}"'
