"""What is unsafe, and the ways out of it, in words and in lines of models.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.migrations.writer import MigrationWriter
from django.db.models import CASCADE, NOT_PROVIDED, OneToOneField

from syzygy import rules
from syzygy.generation.fields import changed
from syzygy.history import AnyField

LATER = "in a later release."
_NULL_OR_FUNCTION = "Have {} allow NULL, or give it a default that is a function:"


class Refusal(NamedTuple):
    """A change that is unsafe while two releases run, and the ways out.

    The first of the ``ways`` is the safest. Each is a sentence and lines of models.py.
    The ``subject`` is a new field or model, if it is about one.
    """

    app_label: str
    problem: str
    ways: tuple[tuple[str, tuple[str, ...]], ...]
    subject: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [self.problem]
        for text, code in self.ways:
            lines += [text, *(f"    {line}" for line in code)]
        return "\n".join(lines)


def rename_field(
    app_label: str, model: str, table: str, old: str, field: AnyField
) -> Refusal:
    """What may have been the renaming of a field, and can't be asked."""
    new = field.name
    pinned = field.clone()
    if field.many_to_many:
        kind, rule = "join table", rules.CHANGE_M2M
        pinned.db_table = f"{table}_{old}"
    else:
        kind, rule = "column", rules.RENAME_COLUMN
        pinned.db_column = old_column(old, field)
    return Refusal(
        app_label,
        f'Renaming the field "{old}" of "{app_label}.{model}" to "{new}" is unsafe: '
        f"{rule.why}.",
        (
            (f"Keep the name of the {kind}:", (line(new, pinned),)),
            (
                f'Or keep both fields for now, back-fill "{new}", have this release '
                f'use it, and remove "{old}" {LATER}',
                (line(old, field), line(new, _for_rows(field))),
            ),
        ),
    )


def _for_rows(field: AnyField) -> AnyField:
    """The field, such that it can be added to a table that has rows."""
    if field.many_to_many or field.generated:
        return field
    is_needy = not (field.null or field.has_default())
    may_be_blank = field.blank and field.empty_strings_allowed
    if is_needy and not (field.has_db_default() or may_be_blank):
        return changed(field, null=True)
    return field


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
            new_model(old, new),
        ),
    )


def needs_default(app_label: str, model: str, name: str, field: AnyField) -> Refusal:
    """A new field without a value for the rows that there are."""
    if field.unique:
        each, way = "a value of its own", _NULL_OR_FUNCTION.format("it")
    else:
        each, way = "a value", "Give it a default, or have it allow NULL:"
    return Refusal(
        app_label,
        f'The new field "{name}" of "{app_label}.{model}" needs {each} for the rows '
        "that there are and those that the running release inserts.",
        ((way, (line(name, changed(field, null=True)),)),),
        (app_label, model.lower(), name),
    )


def parent(app_label: str, model: str, name: str, link: AnyField) -> Refusal:
    """A model that is to inherit from one that has a table."""
    target = link.remote_field.model
    beside = OneToOneField(target, CASCADE, null=True)
    return Refusal(
        app_label,
        f'Having "{app_label}.{model}" inherit from "{target}" is unsafe: '
        f"{rules.CHANGE_PRIMARY_KEY.why}.",
        (
            (
                "Refer to the parent instead, and leave the bases as they are:",
                (
                    f"class {model}(models.Model):",
                    f"    {line(target.rpartition('.')[2], beside)}",
                ),
            ),
            new_model(model, f"New{model}"),
        ),
        (app_label, model.lower(), name),
    )


def not_unique(
    app_label: str,
    model: str,
    name: str,
    field: AnyField,
    others: Sequence[str] = (),
) -> Refusal:
    """A new field with one default for all rows, unique alone or with ``others``."""
    if others:
        names = ", ".join(f'"{each}"' for each in (name, *others))
        problem = (
            f'The new fields {names} of "{app_label}.{model}" are unique together and '
            "have one default each for all rows, so that no two rows could have them."
        )
    else:
        problem = (
            f'The new field "{name}" of "{app_label}.{model}" is unique and has one '
            "default for all rows, so that no two rows could have it."
        )
    which = f'"{name}"' if others else "it"
    return Refusal(
        app_label,
        problem,
        (
            (
                _NULL_OR_FUNCTION.format(which),
                (line(name, changed(field, null=True, **_no_default(field))),),
            ),
        ),
    )


def no_type(
    app_label: str, model: str, name: str, old: AnyField, new: AnyField
) -> Refusal:
    """A field whose old values and new ones have no type in common."""
    return Refusal(
        app_label,
        f'Changing the type of the field "{name}" of "{app_label}.{model}" is unsafe: '
        "no type of the database holds what both releases may write.",
        (
            ("Keep its type:", (line(name, old),)),
            (
                f"Or add a field of another name for now, back-fill that, have the "
                f'next release use it, and remove "{name}" {LATER}',
                (line(name, old), line(f"new_{name}", new)),
            ),
        ),
    )


def _no_default(field: AnyField) -> dict[str, Any]:
    return {"default": NOT_PROVIDED, "db_default": NOT_PROVIDED}


def line(name: str, field: AnyField) -> str:
    """The line of models.py that defines a field."""
    if field.primary_key:
        field = field.clone()
        # What Django adds to it in migrations.
        field.serialize, field.auto_created = True, False
    code, _ = MigrationWriter.serialize(field)
    code = code.replace("django.db.models.deletion.", "models.")
    code = re.sub(r"django\.db\.models\.functions\.\w+\.", "", code)
    return f"{name} = {' '.join(code.split())}"


def new_model(old: str, new: str) -> tuple[str, tuple[str, ...]]:
    """The way out by a model beside the one that there is."""
    return (
        f'Or keep "{old}" for now and add "{new}" beside it, copy the rows, have the '
        f'next release use "{new}", and remove "{old}" {LATER}',
        (f"class {old}(models.Model): ...", f"class {new}(models.Model): ..."),
    )


def clash(app_label: str, model: str, parent: str, name: str) -> Refusal:
    """A field that moves between a model and the one that it inherits from."""
    return Refusal(
        app_label,
        f'Moving the field "{name}" between "{app_label}.{model}" and its parent '
        f'"{parent}" is unsafe: while both releases run, both tables need it, and no '
        "model may have a field of its parent.",
        (
            (f'Keep "{name}" where it is.', ()),
            (
                f"Or add it by another name for now, back-fill that, have the next "
                f'release use it, and remove "{name}" {LATER}',
                (),
            ),
        ),
        (app_label, model.lower(), name),
    )
