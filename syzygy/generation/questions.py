"""Questions about changes, asked once, and only where there is no safe answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.db.migrations.questioner import (
    InteractiveMigrationQuestioner,
    MigrationQuestioner,
    NonInteractiveMigrationQuestioner,
)
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import NOT_PROVIDED

from syzygy.history import AnyField, ModelKey

if TYPE_CHECKING:
    from syzygy.generation.ways import Refusal

# What refusals say isn't imported at the top: most runs have nothing to refuse.

_LEFT = (
    'The field "{field}" of "{model}" is made NOT NULL, and what to write where it is '
    "NULL isn't known: the migration fails if any row has NULL by then. Give the field "
    "a default, answer the question at a terminal, or fill the rows before, with "
    "Backfill of syzygy.operations."
)


class Questions:
    """A questioner of Django's that isn't asked twice, nor what needs no answer.

    ``doubts`` is what can't be told without an answer that nobody can give.
    """

    def __init__(self, asked: Any, to_state: ProjectState) -> None:
        self._asked = asked
        self._to_state = to_state
        self._answers: dict[tuple[Any, ...], Any] = {}
        self._renamed: set[tuple[tuple[str, str], str]] = set()
        self.doubts: list[Refusal] = []
        self._final: set[Refusal] = set()
        # The models that may have been renamed, by their old keys.
        self.renamed_models: dict[ModelKey, ModelKey] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._asked, name)

    @property
    def is_interactive(self) -> bool:
        """Whether somebody is there to answer."""
        return isinstance(self._asked, InteractiveMigrationQuestioner)

    @property
    def _can_ask(self) -> bool:
        return not isinstance(self._asked, NonInteractiveMigrationQuestioner)

    def ask_initial(self, app_label: str) -> Any:
        """Whether to make the first migration of the app."""
        key = ("initial", app_label)
        return self._once(key, lambda: self._asked.ask_initial(app_label))

    def ask_rename(self, model_name: str, old: str, new: str, field: AnyField) -> Any:
        """Whether a field was renamed; one that keeps its column was."""
        from syzygy.generation import ways

        column = field.db_column
        if column and column in {old, ways.old_column(old, field)}:
            return True
        if field.many_to_many and (field.db_table or field.remote_field.through):
            # Else it wouldn't be like the other one; or it has no table of its own.
            return True
        key = ("rename", model_name, old, new)
        if self._can_ask:
            return self._once(
                key, lambda: self._asked.ask_rename(model_name, old, new, field)
            )

        def doubt() -> bool:
            for model, state in self._models(model_name):
                known: AnyField = state.fields.get(new)
                if known is field:
                    copy = known.clone()
                    copy.name = new
                    self._renamed.add((model, new))
                    table = state.options.get("db_table") or "_".join(model)
                    self._doubt(
                        ways.rename_field(model[0], state.name, table, old, copy)
                    )
            return False

        return self._once(key, doubt)

    def ask_rename_model(self, old: ModelState, new: ModelState) -> Any:
        """Whether a model was renamed; one that keeps its table was."""
        table = old.options.get("db_table") or f"{old.app_label}_{old.name_lower}"
        if new.options.get("db_table") == table:
            return True
        key = ("rename model", old.app_label, old.name, new.name)
        if self._can_ask:
            return self._once(key, lambda: self._asked.ask_rename_model(old, new))

        def doubt() -> bool:
            from syzygy.generation import ways

            label = old.app_label
            self.renamed_models[label, old.name_lower] = (label, new.name_lower)
            self._doubt(ways.rename_model(label, old.name, new.name, table))
            return False

        return self._once(key, doubt)

    def ask_not_null_addition(self, field_name: str, model_name: str) -> Any:
        """The value of a new field for the rows that there are.

        Nobody is asked for one of a unique field: it would be that of all rows.
        """
        key = ("addition", model_name, field_name)
        fields: list[AnyField] = [
            state.fields.get(field_name) for _, state in self._models(model_name)
        ]
        if self._can_ask and not any(each and each.unique for each in fields):
            return self._once(
                key, lambda: self._asked.ask_not_null_addition(field_name, model_name)
            )

        def doubt() -> None:
            from syzygy.generation import ways

            for model, state in self._models(model_name):
                field = state.fields.get(field_name)
                # A primary key is refused as such.
                is_asked = field is not None and not field.primary_key
                if is_asked and (model, field_name) not in self._renamed:
                    refusal = ways.needs_default(
                        model[0], state.name, field_name, field
                    )
                    self._doubt(refusal)
                    self._final.add(refusal)

        return self._once(key, doubt)

    def ask_not_null_alteration(self, field_name: str, model_name: str) -> Any:
        """The value for NULL of a field that is to allow none.

        If nobody can be asked, there may be no NULL; the migration fails if there is.
        """
        key = ("alteration", model_name, field_name)
        if self._can_ask:
            return self._once(
                key, lambda: self._asked.ask_not_null_alteration(field_name, model_name)
            )

        def warn() -> Any:
            self._asked.log(_LEFT.format(field=field_name, model=model_name))
            return NOT_PROVIDED

        return self._once(key, warn)

    def ask_merge(self, app_label: str) -> Any:
        """Whether to merge branches."""
        return self._asked.ask_merge(app_label)

    def ask_auto_now_add_addition(self, field_name: str, model_name: str) -> Any:
        """Nothing to ask: the database tells the time."""
        return None

    def ask_unique_callable_default_addition(
        self, field_name: str, model_name: str
    ) -> Any:
        """Nothing to ask: each row gets a value of its own."""
        return None

    def may_insist(self, problems: Iterable[Refusal]) -> bool:
        """Whether somebody is there who may want what is unsafe all the same."""
        return self.is_interactive and self._final.isdisjoint(problems)

    def insist(self, refusal: Refusal) -> bool:
        """Whether somebody wants what is unsafe all the same; the safe ways first."""
        ways = [f"Quit and {_as_order(text)}" for text, _ in refusal.ways]
        choices = [*ways, "Write it like that: it needs a downtime."]
        answer: int = self._asked._choice_input(f"{refusal}\n", choices)
        return answer == len(choices)

    def _once(self, key: tuple[Any, ...], ask: Callable[[], Any]) -> Any:
        if key not in self._answers:
            self._answers[key] = ask()
        return self._answers[key]

    def _models(self, model_name: str) -> list[tuple[tuple[str, str], ModelState]]:
        return [
            (key, state)
            for key, state in self._to_state.models.items()
            if key[1] == model_name.lower()
        ]

    def _doubt(self, refusal: Refusal) -> None:
        if refusal not in self.doubts:
            self.doubts.append(refusal)


def _as_order(text: str) -> str:
    text = text.removeprefix("Or ").rstrip(":.")
    return f"{text[0].lower()}{text[1:]}."


class Settled(MigrationQuestioner):
    """Answers as all has been asked: nothing is renamed, and NULLs are filled.

    Whether to make first migrations of apps is what ``asked`` says.
    """

    def __init__(self, asked: Questions) -> None:
        super().__init__()
        self._asked = asked

    def ask_initial(self, app_label: str) -> Any:
        """As it was answered before."""
        return self._asked.ask_initial(app_label)

    def ask_not_null_alteration(self, field_name: str, model_name: str) -> Any:
        """Nothing is needed for NULLs, as a back-fill has replaced them."""
        return NOT_PROVIDED
