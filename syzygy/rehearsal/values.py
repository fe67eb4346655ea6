"""Values that the rehearsal writes into fields, and how to teach it more of them.

Where a project has a field of its own kind, it names values in ``AppConfig.ready()``::

    from syzygy.rehearsal.values import register_values

    @register_values(MoneyField)
    def money(field, number):
        return Money(number, "EUR")

This module is imported then, so it imports nothing that takes time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# Of a field and a number: a legal value.
ValueFunction = Callable[[Any, int], Any]
_AnyFunction = TypeVar("_AnyFunction", bound=ValueFunction)


class Unprobable(Exception):
    """What can't be rehearsed.

    ``label`` names the model, or the field, as "app.Model" or "app.Model.field";
    ``reason`` says why, and what would help, in full sentences; ``kind`` is the path of
    the field's class, if it is that of which no values are known.
    """

    def __init__(self, label: str, reason: str, kind: str = "") -> None:
        super().__init__(f'"{label}": {reason}')
        self.label = label
        self.reason = reason
        self.kind = kind


class Values(Protocol):
    """The values of a kind of field, by number; the same number gives the same one."""

    def sample(self, field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
        """A plain value."""

    def widest(self, field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
        """A value that takes all the room there is."""


@dataclass(frozen=True)
class _Registered:
    """Values that a project registered."""

    plain: ValueFunction
    wide: ValueFunction

    def sample(self, field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
        return _called(self.plain, field, number)

    def widest(self, field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
        return _called(self.wide, field, number)


_by_class: dict[type[Any], _Registered] = {}
_by_label: dict[str, _Registered] = {}


def register_values(
    key: Any, *, widest: ValueFunction | None = None
) -> Callable[[_AnyFunction], _AnyFunction]:
    """Decorate a function that gives legal values of a field.

    ``key`` is a field class, then the function is for its subclasses as well, or the
    label of one field, such as "shop.Book.isbn". The function takes the field and a
    number, 0 or more, and returns a different value for each, plain ones first.
    ``widest`` is such a function for values that take all the room there is. What was
    registered for the same key is replaced. Raises :exc:`ImproperlyConfigured` for
    anything else than such a key.
    """
    from django.core.exceptions import ImproperlyConfigured

    label = _normalized(key) if isinstance(key, str) else None
    if label is None and not _is_field_class(key):
        raise ImproperlyConfigured(
            f"register_values() can't be used with {key!r}. Give it a field class, or "
            'the label of a field, such as "shop.Book.isbn".'
        )

    def register(function: _AnyFunction) -> _AnyFunction:
        registered = _Registered(function, widest or function)
        if label is None:
            _by_class[key] = registered
        else:
            _by_label[label] = registered
        return function

    return register


def sample(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    """The plain value of that number; raises :exc:`Unprobable` if none is known."""
    value = values_of(field).sample(field, number, connection)
    return _as_read(field, value, connection)


def widest(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    """The widest value of that number; raises :exc:`Unprobable` if none is known."""
    values = values_of(field)
    value = values.widest(field, number, connection)
    try:
        return _as_read(field, value, connection)
    except Unprobable:
        # What a field makes of a value, encrypted say, may be longer than the value.
        value = values.sample(field, number, connection)
        return _as_read(field, value, connection)


def label_of(field: Any) -> str:
    """The label of a field: "app.Model.field"."""
    return f"{field.model._meta.label}.{field.name}"


def values_of(field: Any, *, is_part: bool = False) -> Values:
    """The values of a field: those registered for it, its class, or a base of that.

    A part of another field, such as the items of an array, has no label. Raises
    :exc:`Unprobable` if none are known.
    """
    if not is_part and (found := _by_label.get(_normalized(label_of(field)) or "")):
        return found
    from syzygy.rehearsal.field_values import built_in

    for base in type(field).__mro__:
        if registered := _by_class.get(base):
            return registered
        if known := built_in(base):
            return known
    raise Unprobable(
        label_of(field),
        f'No values are known for a field of the class "{type(field).__name__}". '
        + how_to_teach(label_of(field)),
        _kind(field),
    )


def how_to_teach(label: str) -> str:
    """A sentence that says how to name values of a field, or of the model's fields."""
    return (
        "To name values that are legal, decorate a function of a field and a number "
        f'with @register_values("{label}") from "syzygy.rehearsal.values", in '
        '"AppConfig.ready()".'
    )


def _kind(field: Any) -> str:
    return f"{type(field).__module__}.{type(field).__qualname__}"


def _normalized(label: str) -> str | None:
    """The label with the model in lower case; ``None`` if it is none."""
    parts = label.split(".")
    if len(parts) != 3 or not all(part.isidentifier() for part in parts):
        return None
    app_label, model_name, field_name = parts
    return f"{app_label}.{model_name.lower()}.{field_name}"


def _is_field_class(key: Any) -> bool:
    from django.db.models import Field

    return isinstance(key, type) and issubclass(key, Field)


def _called(function: ValueFunction, field: Any, number: int) -> Any:
    try:
        return function(field, number)
    except Exception as error:  # it is the project's
        name = getattr(function, "__qualname__", repr(function))
        raise Unprobable(
            label_of(field),
            f'"{name}", which is registered for its values, raised '
            f"{type(error).__name__} ({error}) for the number {number}.",
        ) from error


def _as_read(field: Any, value: Any, connection: BaseDatabaseWrapper) -> Any:
    """What a project's own kind of field makes of a value; Django's make nothing."""
    if type(field).__module__.startswith("django."):
        return value
    from syzygy.rehearsal.field_values import fits

    try:
        stored = field.get_prep_value(value)
        if hasattr(field, "from_db_value"):
            value = field.from_db_value(stored, None, connection)
        if fits(field, value, connection):
            return value
        problem = "it does not take the values of the field that it derives from"
    except Exception as error:  # noqa: BLE001 (it is the project's)
        problem = f"it raised {type(error).__name__} ({error}) for {value!r}"
    raise Unprobable(
        label_of(field),
        f'The field is of the class "{type(field).__name__}", and {problem}. '
        + how_to_teach(label_of(field)),
        _kind(field),
    )
