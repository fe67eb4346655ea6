"""The models as a point of the migration history leaves them, kept light.

Django's :class:`~django.db.migrations.state.ProjectState` is what operations know how
to change, third-party ones included, so the history is one. It is never rendered to
model classes, and what costs time in proportion to the size of the project is left
out: walking 1,000 migrations takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState, StateApps
from django.db.migrations.utils import resolve_relation
from django.db.models import NOT_PROVIDED, BaseConstraint, ForeignKey
from django.db.models.options import normalize_together

from syzygy.constraints import (
    constraint_fields,
    effect,
    effects,
    forms,
    lifted_form,
    proves_not_null,
    unique_together,
)
from syzygy.lifting import Lifting

ModelKey: TypeAlias = tuple[str, str]
# Which attributes a field has depends on its class, of which there is no end.
AnyField: TypeAlias = Any


def _never_swapped(label: str, setting: str) -> bool:
    return False


class UnrenderedState(ProjectState):
    """Django's, quicker as long as nobody has asked for its model classes."""

    def alter_field(
        self,
        app_label: str,
        model_name: str,
        name: str,
        field: AnyField,
        preserve_default: bool,
    ) -> None:
        """Replace the field.

        Django's looks at every field of the project to tell what has to be rendered.
        """
        if "apps" in vars(self) or getattr(self, "_relations", None) is not None:
            super().alter_field(app_label, model_name, name, field, preserve_default)
            return
        self.models[app_label, model_name].fields[name] = _kept(field, preserve_default)


def _kept(field: AnyField, preserve_default: bool) -> AnyField:
    """What is left of a field whose default was for the rows that there were."""
    if preserve_default:
        return field
    field = field.clone()
    field.default = NOT_PROVIDED
    return field


# Arguments of a field that have no say in which of its values are equal.
_NO_MATTER = {"db_comment", "db_default", "db_index", "default", "null", "unique"}


def _values(field: AnyField) -> Any:
    """What tells which values of a field are equal, in a form to compare."""
    _, path, args, kwargs = field.deconstruct()
    ignored = _NO_MATTER.union(field.non_db_attrs)
    return path, args, {name: kwargs[name] for name in kwargs if name not in ignored}


def collation(field: AnyField) -> Any:
    """The collation of a field's column; ``None`` is the database's own.

    Another one may take values for equal that weren't.
    """
    return getattr(field, "db_collation", None)


class History(UnrenderedState):
    """The state before the next operation.

    ``is_swapped(label, setting)`` tells whether the model ``label`` ("app.model") is
    swapped out by the value of ``setting``.

    While ``origin`` is set, the models and fields that operations create are remembered
    as coming from it; those whose origin is in ``unseen`` are unknown to the running
    release. While ``applying`` is set, it is remembered as what has lifted the
    constraints that operations drop.
    """

    def __init__(self, is_swapped: Callable[[str, str], bool] = _never_swapped) -> None:
        super().__init__()
        self.is_swapped = is_swapped
        self.origin: Hashable = None
        self.applying: Hashable = None
        self.unseen: Collection[Hashable] = ()
        self._origins: dict[tuple[str, ...], Hashable] = {}
        # Fields that the running release has otherwise, or doesn't have (None).
        self._released: dict[tuple[str, str, str], AnyField | None] = {}
        self._lifting = Lifting()
        # The names of constraints that name fields as these were called before.
        self._outdated: set[str] = set()
        # Those of models that were created before the history starts.
        self._stray_fields: dict[tuple[str, str, str], AnyField] = {}

    # What the rules ask

    def model(self, key: ModelKey) -> ModelState | None:
        """The model with that app label and lower-case name, if it is known."""
        return self.models.get(key)

    def field(self, key: ModelKey, name: str) -> AnyField | None:
        """The named field of that model, if it is known."""
        model = self.models.get(key)
        if model is None:
            return self._stray_fields.get((*key, name))
        return model.fields.get(name)

    def released_field(self, key: ModelKey, name: str) -> AnyField | None:
        """The named field as the running release has it, if that knows it.

        It is told from what is ``unseen`` as well as from what only the state has.
        """
        if self.is_unseen(*key, name):
            return None
        return self._released.get((*key, name), self.field(key, name))

    def table(self, key: ModelKey) -> str:
        """The name of that model's table, before a database shortens it."""
        key = self.behind(key)
        model = self.models.get(key)
        options = {} if model is None else model.options
        return options.get("db_table") or "_".join(key)

    def behind(self, key: ModelKey) -> ModelKey:
        """The model that a proxy stands for; any other itself."""
        model = self.models.get(key)
        if model is not None and model.options.get("proxy"):
            for base in model.bases:
                if isinstance(base, str):
                    behind: ModelKey = resolve_relation(base, *key)
                    if behind != key:
                        return self.behind(behind)
        return key

    def related(self, key: ModelKey, field: AnyField) -> ModelKey:
        """The model that a relation of the model ``key`` points at."""
        related: ModelKey = resolve_relation(field.remote_field.model, *key)
        return related

    def has_table(
        self, key: ModelKey, options: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether migrations manage a table for that model.

        ``options`` are those of a model that is yet to be created.
        """
        if options is None:
            model = self.models.get(key)
            options = {} if model is None else model.options
        if options.get("proxy") or not options.get("managed", True):
            return False
        setting = options.get("swappable")
        return not (setting and self.is_swapped(".".join(key), setting))

    def is_unseen(self, *key: str) -> bool:
        """Whether the running release can't know that model, or field of a model."""
        origin = self._origins.get(key)
        return origin is not None and origin in self.unseen

    def refusing_null(self, key: ModelKey, name: str) -> list[BaseConstraint]:
        """The constraints that no row with NULL in the named field meets."""
        model = self.models.get(key)
        constraints = model.options.get("constraints", ()) if model else ()
        return [each for each in constraints if proves_not_null(each, name)]

    def was_in_force(self, key: ModelKey, names: Collection[str]) -> bool:
        """Whether no two rows of the running release were equal until just now.

        That is, in these fields. Rows that differ in some differ in more fields, too.
        """
        return bool(self._lifting) and self._lifting.was_in_force(
            key, frozenset(names), self.unseen
        )

    def is_replaced(self, key: ModelKey, constraint: BaseConstraint) -> bool:
        """Whether rows of the running release were kept from the same until just now.

        That is, from what the constraint will keep them from.
        """
        return bool(self._lifting) and any(
            self._lifting.was_in_force(key, form, self.unseen)
            for form in forms(constraint)
        )

    def is_in_force(self, key: ModelKey, names: Collection[str]) -> bool:
        """Whether no two rows of the running release are equal in these fields.

        That is, or were until just now. Where no index can include columns, Django
        makes no constraint that does so.
        """
        model = self.models[key]
        known = {each: each for each in effects(model, ())}
        for each in model.options.get("constraints", ()):
            if not getattr(each, "include", ()):
                known[each.name] = effect(each)
        return self.was_in_force(key, names) or any(
            isinstance(form, frozenset)
            and form.issubset(names)
            and not self._lifting.is_new(key, what, self.unseen)
            for what, form in known.items()
        )

    def forget_origins(self) -> None:
        """Take all that exists for known to the running release, and no more."""
        self._origins.clear()
        self._released.clear()
        self._lifting.clear()

    # How it moves on

    def advance(self, operation: Operation, app_label: str) -> None:
        """Apply what the operation does to the models.

        An operation that fails at that, or that needs rendered models, changes nothing:
        rules that ask for what it would have changed are told that it isn't known.
        """
        try:
            operation.state_forwards(app_label, self)
        except Exception:  # noqa: BLE001 - what a third party's code expects of a state
            return

    def branch(self) -> History:
        """A copy whose changes leave this one as it is."""
        twin = History(self.is_swapped)
        twin.models = {key: model.clone() for key, model in self.models.items()}
        twin.origin, twin.unseen = self.origin, self.unseen
        twin.applying = self.applying
        twin._origins = dict(self._origins)
        twin._stray_fields = dict(self._stray_fields)
        twin._released = dict(self._released)
        twin._lifting = self._lifting.copy()
        twin._outdated = set(self._outdated)
        return twin

    # What operations call; Django's own methods where these don't differ

    def add_model(self, model_state: ModelState) -> None:
        """Django's, remembering where the model comes from."""
        super().add_model(model_state)
        key = (model_state.app_label, model_state.name_lower)
        self._lifting.forget(key)
        self._created(*key)
        for name in model_state.fields if self.unseen else ():
            self._released.setdefault((*key, name), None)

    def rename_model(self, app_label: str, old_name: str, new_name: str) -> None:
        """Django's, remembering where the model comes from."""
        super().rename_model(app_label, old_name, new_name)
        old, new = (app_label, old_name.lower()), (app_label, new_name.lower())
        for key in [key for key in self._origins if key[:2] == new]:
            del self._origins[key]
        for key in [key for key in self._origins if key[:2] == old]:
            self._rename_origin(key, new + key[2:])
        for label, model, name in [key for key in self._released if key[:2] == old]:
            self._released[*new, name] = self._released.pop((label, model, name))
        self._lifting.rename_model(old, new)

    def add_field(
        self,
        app_label: str,
        model_name: str,
        name: str,
        field: AnyField,
        preserve_default: bool,
    ) -> None:
        """Django's, remembering where the field comes from."""
        if self.unseen:
            self._released.setdefault((app_label, model_name, name), None)
        if (app_label, model_name) in self.models:
            super().add_field(app_label, model_name, name, field, preserve_default)
        else:
            self._stray_fields[app_label, model_name, name] = field
        self._created(app_label, model_name, name)
        if field._unique:
            self._impose((app_label, model_name), [frozenset([name])])

    def alter_field(
        self,
        app_label: str,
        model_name: str,
        name: str,
        field: AnyField,
        preserve_default: bool,
    ) -> None:
        """Replace the field, or that of a model that isn't known."""
        key = (app_label, model_name)
        before = self.field(key, name)
        if self.unseen:
            self._released.setdefault((*key, name), before)
        if key in self.models:
            super().alter_field(app_label, model_name, name, field, preserve_default)
        else:
            self._stray_fields[(*key, name)] = _kept(field, preserve_default)
        if before is None:
            return
        if self._lifting and _values(before) != _values(field):
            self._lifting.forget(key, name)
        if field._unique and not before._unique:
            self._impose(key, [frozenset([name])])
        if before._unique and not field._unique:
            alike = collation(before) == collation(field)
            self._lift(key, [frozenset([name])] if alike else [])

    def alter_model_options(
        self,
        app_label: str,
        model_name: str,
        options: dict[str, Any],
        option_keys: Iterable[str] | None = None,
    ) -> None:
        """Django's, remembering which sets of fields are unique no more."""
        key = (app_label, model_name)
        before = unique_together(self.models[key].options)
        super().alter_model_options(app_label, model_name, options, option_keys)
        after = unique_together(self.models[key].options)
        self._lift(key, map(frozenset, before - after))
        self._impose(key, map(frozenset, after - before))

    def remove_constraint(
        self, app_label: str, model_name: str, constraint_name: str
    ) -> None:
        """Django's, remembering what rows are kept from no more."""
        key = (app_label, model_name)
        before = self.models[key].options.get("constraints", ())
        super().remove_constraint(app_label, model_name, constraint_name)
        for each in before if self._remembers(key) else ():
            if each.name == constraint_name and each.name not in self._outdated:
                self._lifting.lift(key, each.name, self.applying, lifted_form(each))

    def add_constraint(
        self, app_label: str, model_name: str, constraint: BaseConstraint
    ) -> None:
        """Django's, remembering where the constraint comes from."""
        super().add_constraint(app_label, model_name, constraint)
        self._outdated.discard(constraint.name)
        self._created(app_label, model_name, "", constraint.name)
        if self.applying is not None:
            # The forms take time, and are of use only where something is lifted.
            lifted = forms(constraint) if self._lifting else ()
            key = (app_label, model_name)
            self._lifting.impose(key, constraint.name, self.applying, lifted)

    def rename_field(
        self, app_label: str, model_name: str, old_name: str, new_name: str
    ) -> None:
        """Rename the field, and in what the rules ask for.

        Django's looks at every field of the project for references, and changes field
        objects that belong to the operations; to have it do so in copies, as
        :mod:`syzygy.renaming` does, takes time for every field as well.
        """
        key = (app_label, model_name)
        self._lifting.rename_field(key, old_name, new_name)
        self._rename_origin((*key, old_name), (*key, new_name))
        if (*key, old_name) in self._released:
            self._released[*key, new_name] = self._released.pop((*key, old_name))
        model = self.models.get(key)
        if model is None:
            if stray := self._stray_fields.pop((*key, old_name), None):
                self._stray_fields[(*key, new_name)] = stray
            return
        for constraint in model.options.get("constraints", ()):
            names = constraint_fields(constraint)
            if old_name in names or not names:
                self._outdated.add(constraint.name)
        renamed = model.fields.pop(old_name)
        model.fields[new_name] = renamed
        for option in ("unique_together", "index_together"):
            if together := model.options.get(option):
                model.options[option] = {
                    tuple(new_name if name == old_name else name for name in names)
                    for names in normalize_together(together)
                }
        self._rename_in_fields(key, old_name, new_name, renamed)

    def _rename_in_fields(
        self, key: ModelKey, old_name: str, new_name: str, renamed: AnyField
    ) -> None:
        """Rename a field where other fields name it, in copies of them."""
        fields = self.models[key].fields
        for name, field in fields.items():
            if old_name in getattr(field, "field_names", ()):
                fields[name] = deepcopy(field)
                fields[name].field_names = tuple(
                    new_name if part == old_name else part for part in field.field_names
                )
        if not (renamed._unique or renamed.primary_key):
            return  # No foreign key can refer to it.
        for other, model in self.models.items():
            for name, field in model.fields.items():
                if (
                    isinstance(field, ForeignKey)
                    and old_name in field.to_fields
                    and self.related(other, field) == key
                ):
                    model.fields[name] = deepcopy(field)
                    model.fields[name].to_fields = (new_name,)
                    model.fields[name].remote_field.field_name = new_name

    def _rename_origin(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        self._origins.pop(new, None)
        origin = self._origins.pop(old, None)
        if origin is not None:
            self._origins[new] = origin

    def remove_field(self, app_label: str, model_name: str, name: str) -> None:
        """Django's, or forget a field of a model that isn't known."""
        self._origins.pop((app_label, model_name, name), None)
        self._lifting.forget((app_label, model_name), name)
        if (app_label, model_name) in self.models:
            super().remove_field(app_label, model_name, name)
        else:
            self._stray_fields.pop((app_label, model_name, name), None)

    @property
    def relations(self) -> Any:
        """Django's, made anew each time: keeping them up to date would cost more."""
        try:
            return super().relations
        finally:
            self._relations = None

    @property
    def apps(self) -> StateApps:
        """Refuse to render."""
        raise RuntimeError("The migration history isn't rendered to model classes.")

    def _remembers(self, key: ModelKey) -> bool:
        """Whether it is remembered what is lifted of that model."""
        return self.applying is not None and self.has_table(key)

    def _lift(self, key: ModelKey, effects: Iterable[Hashable]) -> None:
        for each in effects if self._remembers(key) else ():
            self._lifting.lift(key, each, self.applying, each)

    def _impose(self, key: ModelKey, effects: Iterable[Hashable]) -> None:
        for each in effects if self.applying is not None else ():
            self._lifting.impose(key, each, self.applying, [each])

    def _created(self, *key: str) -> None:
        if self.origin is not None:
            self._origins[key] = self.origin
        else:
            self._origins.pop(key, None)
