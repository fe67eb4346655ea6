"""Random changes of models, rehearsed forward and back.

The examples are the same in each run: others find what is wrong with the rows of such a
change rather than with what is written, and look like a failure of it.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.migrations.state import ModelState, ProjectState
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from syzygy.alterations import is_constrained
from syzygy.operations import RelaxField
from syzygy.rehearsal.findings import Action, Severity
from syzygy.rehearsal.run import Options, rehearse
from tests.cases.test_makemigrations_properties import described, model_states, written
from tests.command_helpers import Project
from tests.generation_helpers import as_written, generated
from tests.properties import examples
from tests.rehearsal_helpers import Deployed, Told, of, write
from tests.rules_helpers import APP
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

# Rows that one release allows, the other may forbid.
OF_ROWS = {
    "add-constraint",
    "add-unique",
    "add-unique-together",
    "drop-unique",
    "remove-constraint",
    "remove-unique-together",
}
# A database server takes its time.
COUNT = 6 if UNDER_TEST == "sqlite" else 3


@st.composite
def states(draw: st.DrawFn) -> ProjectState:
    result = ProjectState()
    for name in ("Author", "Post"):
        model = draw(model_states(APP, name, True))
        if UNDER_TEST == "mariadb":
            spare_texts(model)
        result.add_model(model)
    return result


def spare_texts(model: ModelState) -> None:
    """Have texts of any length in no key, where the database can't have them there."""
    keys = [
        *(each.fields for each in model.options.get("indexes", ())),
        *(getattr(each, "fields", ()) for each in model.options.get("constraints", ())),
        *model.options.get("unique_together", ()),
    ]
    fields: dict[str, Any] = dict(model.fields)
    for name, field in fields.items():
        is_in_key = field.unique or field.db_index or any(name in key for key in keys)
        if type(field) is models.TextField and is_in_key:
            *_, options = field.deconstruct()
            model.fields[name] = models.CharField(max_length=40, **options)


@settings(
    max_examples=examples(COUNT),
    derandomize=True,
    # What fails is told as it is: a smaller one would take minutes to find.
    phases=[Phase.explicit, Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(before=states(), after=states())
def test_rehearsed(project: Project, before: Any, after: Any) -> None:
    note(f"{described(before)}\n->\n{described(after)}")
    migrations = written(before, after)
    if not migrations:
        return
    first = generated(ProjectState(), before)
    operations = [each for own in first for each in own.operations]
    write(project, APP, [Deployed(tuple(operations)), *map(as_written, migrations)])
    with project.active():
        told = Told(rehearse(Options(targets=[f"{APP}.0001"], revert=True)))
    for finding in of(told.rehearsal, Severity.BREAKS):
        culprit = finding.culprit
        assert culprit, told.text
        assert culprit.rule, told.text
        if culprit.rule.code == "set-not-null":
            # The command asks for a value for them, or to be told that there are none.
            assert takes_null(before, culprit.operation), told.text
        elif culprit.rule.code == "add-field-db-default":
            # A default may refer to a row that isn't there.
            operation: Any = culprit.operation
            assert operation.field.remote_field, told.text
        elif culprit.rule.code == "add-db-constraint":
            # So may rows of the old release, whose field has no constraint.
            assert may_dangle(before, culprit.operation), told.text
        elif culprit.rule.code == "drop-db-constraint":
            # Undone, "RelaxField" has what refers to a row that is gone refer to none.
            assert culprit.backward, told.text
            assert isinstance(culprit.operation, RelaxField), told.text
            assert finding.actions == (Action.KEEP,), told.text
        elif culprit.rule.code == "backfill":
            # A function is taken to give what is allowed, and to each row its own.
            assert is_forbidden(after, culprit.operation), told.text
        else:
            assert culprit.rule.code in OF_ROWS, told.text


def takes_null(state: ProjectState, operation: Any) -> bool:
    """Whether there may be NULL in the field that an operation alters."""
    field = field_of(state, operation)
    return field is not None and field.null


def may_dangle(state: ProjectState, operation: Any) -> bool:
    """Whether the field that an operation alters may refer to what isn't there."""
    field = field_of(state, operation)
    return field is not None and not is_constrained(field)


def is_forbidden(state: ProjectState, operation: Any) -> bool:
    """Whether a model forbids what one of its fields is filled with.

    Be it because a function gives the same to another row.
    """
    value = operation.value
    if callable(value):
        if field_of(state, operation).unique and value() == value():
            return True
        value = value()
    model = state.models[APP, operation.model_name_lower]
    # The only check that there may be.
    checks = {f"{model.name_lower}_positive"} & {
        each.name for each in model.options.get("constraints", ())
    }
    return bool(checks and operation.name == "count" and value <= 0)


def field_of(state: ProjectState, operation: Any) -> Any:
    """The field that an operation is about, ``None`` if the state lacks it."""
    return state.models[APP, operation.model_name_lower].fields.get(operation.name)
