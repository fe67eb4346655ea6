"""Code, what wraps operations, and classes that Django doesn't have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelOptions,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import (
    BigAutoField,
    Field,
    Index,
    IntegerField,
    UniqueConstraint,
)

from syzygy import Stage, rules
from syzygy.history import History
from syzygy.requirements import (
    NotAStage,
    is_opaque,
    never_waits,
    operation_effects,
    operation_rules,
    register,
    to_stage,
)
from syzygy.rules import Rule
from tests.rules_helpers import APP, add, history, judged, model, named, post, table

POST = post(x=IntegerField())
UNIQUE = UniqueConstraint(fields=["x"], name="u")
INDEX = Index(fields=["x"], name="i")
UNMANAGED = model("Legacy", (), {"managed": False}, x=IntegerField())
TAG = model("Tag")
NULLABLE = IntegerField(null=True)
REMOVE = RemoveField("post", "x")


# --- Code, and what wraps other operations


def forwards(apps: Any, schema_editor: Any) -> None:
    raise AssertionError("Judging runs no code.")


DROP = "ALTER TABLE blog_post DROP COLUMN x"
BACKFILL = "UPDATE blog_post SET x = 1"
REMOVED = [RemoveField("post", "x")]


@table(
    ("python", "run-python", RunPython(forwards)),
    ("python that does nothing", "state-only", RunPython(RunPython.noop)),
    ("python undone only", "state-only", RunPython(RunPython.noop, forwards)),
    ("python not undone", "run-python", RunPython(forwards, RunPython.noop)),
    ("sql", "run-sql", RunSQL(BACKFILL)),
    ("sql that does nothing", "state-only", RunSQL(RunSQL.noop)),
    ("no statements", "state-only", RunSQL([])),
    ("sql undone only", "state-only", RunSQL(RunSQL.noop, DROP)),
    ("sql with parameters", "run-sql", RunSQL([("SELECT %s", ["DROP TABLE t"])])),
    ("drop column", "run-sql-drop", RunSQL(DROP)),
    ("drop table", "run-sql-drop", RunSQL("drop table if exists blog_post")),
    ("drop among others", "run-sql-drop", RunSQL([BACKFILL, (DROP, None)])),
    ("drop undone only", "run-sql", RunSQL(BACKFILL, DROP)),
    ("rename column", "run-sql-rename", RunSQL("ALTER TABLE t RENAME a TO b")),
    ("rename table", "run-sql-rename", RunSQL("ALTER TABLE t RENAME TO u")),
    ("rename and drop", "run-sql-rename", RunSQL([DROP, "RENAME TABLE t TO u"])),
    (
        "sql with state operations",
        "remove-field-not-null",
        RunSQL(BACKFILL, state_operations=REMOVED),
    ),
    (
        "no sql with state operations",
        "state-only",
        RunSQL(RunSQL.noop, state_operations=REMOVED),
    ),
    (
        "sql with state operations that have no effect",
        "run-sql",
        RunSQL(BACKFILL, state_operations=[AlterModelOptions("post", {})]),
    ),
    (
        "sql that tells with state operations",
        "run-sql-drop",
        RunSQL(DROP, state_operations=[add("y", NULLABLE)]),
    ),
)
def test_code(codes: set[str], operation: Operation, before: list[Operation]) -> None:
    assert judged(operation, POST) == codes


class Unknown(Operation):
    """An operation of a class that no rule covers."""

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def describe(self) -> str:
        raise NotImplementedError


def separate(
    database: Sequence[Operation] = (), state: Sequence[Operation] = ()
) -> SeparateDatabaseAndState:
    return SeparateDatabaseAndState(database, state)


@table(
    ("nothing", "state-only", separate()),
    ("state alone", "state-only", separate(state=REMOVED)),
    ("database alone", "remove-field-not-null", separate(REMOVED)),
    (
        "the database counts",
        "add-index",
        separate([AddIndex("post", INDEX)], REMOVED),
    ),
    (
        "all of the database counts",
        "add-field remove-field-not-null",
        separate([add("y", NULLABLE), *REMOVED]),
    ),
    ("database without effect", "state-only", separate([RunSQL("")], REMOVED)),
    ("sql that stands for", "remove-field-not-null", separate([RunSQL("-")], REMOVED)),
    (
        "python that stands for",
        "remove-field-not-null",
        separate([RunPython(forwards)], REMOVED),
    ),
    ("what is not known", "remove-field-not-null", separate([Unknown()], REMOVED)),
    (
        "several of these",
        "remove-field-not-null",
        separate([Unknown(), RunSQL("-")], REMOVED),
    ),
    ("sql that stands for nothing", "run-sql", separate([RunSQL("-")])),
    ("python that stands for nothing", "run-python", separate([RunPython(forwards)])),
    ("what is not known, alone", "unknown", separate([Unknown()])),
    (
        "sql that stands for state alone",
        "run-sql",
        separate([RunSQL("-")], [AlterModelOptions("post", {})]),
    ),
    ("sql that tells", "run-sql-drop", separate([RunSQL(DROP)], [add("y", NULLABLE)])),
    (
        "sql beside what tells",
        "run-sql add-field",
        separate([RunSQL("-"), add("y", NULLABLE)], REMOVED),
    ),
    (
        "sql beside what has no effect",
        "remove-field-not-null",
        separate([RunSQL("-"), RunPython(RunPython.noop)], REMOVED),
    ),
    ("nested", "remove-field-not-null", separate([separate(REMOVED)])),
    ("nested state", "state-only", separate([separate(state=REMOVED)], REMOVED)),
    (
        "nested state that is stood for",
        "remove-field-not-null",
        separate([separate([RunSQL("-")], REMOVED)]),
    ),
    (
        "stood for by a nested state",
        "state-only",
        separate(state=[separate([RunSQL("-")], REMOVED)]),
    ),
    (
        "stood for from outside",
        "remove-field-not-null",
        separate([separate([RunSQL("-")])], REMOVED),
    ),
    (
        "state that wraps what is stood for",
        "remove-field-not-null",
        separate([RunSQL("-")], [separate(REMOVED, REMOVED)]),
    ),
    (
        "sql with a state of its own",
        "remove-field-not-null",
        separate([RunSQL("-", state_operations=REMOVED)], [add("y", NULLABLE)]),
    ),
)
def test_separate_database_and_state(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, POST) == codes


def test_each_database_operation_sees_what_those_before_it_did() -> None:
    relaxed = separate([AlterField("post", "x", NULLABLE), *REMOVED])
    assert judged(relaxed, POST) == {"drop-not-null", "remove-field"}


def test_database_operations_change_no_state() -> None:
    state = history(POST)
    operation_rules(separate([*REMOVED, add("y", NULLABLE), TAG]), APP, state)
    assert set(state.models) == {("blog", "post")}
    assert list(state.models["blog", "post"].fields) == ["id", "x"]


def test_what_database_operations_create_is_new_to_those_after_them() -> None:
    created = separate([add("y", NULLABLE), RemoveField("post", "y")])
    assert judged(created, POST) == {"add-field", "unseen"}


def test_state_operations_see_what_is_new() -> None:
    operation = separate([RunSQL("-")], REMOVED)
    assert judged(operation, new=[POST]) == {"unseen-needed"}


# --- The stage that an operation declares


def declaring(stage: object, operation: Operation) -> Operation:
    operation.stage = stage  # type: ignore[attr-defined]
    return operation


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.PRE_DEPLOY, "declared-pre"),
        (Stage.POST_DEPLOY, "declared-post"),
        ("pre_deploy", "declared-pre"),
        ("post_deploy", "declared-post"),
        (None, "remove-field-not-null"),
    ],
)
def test_a_declared_stage_goes_before_the_rules(stage: object, code: str) -> None:
    operation = declaring(stage, RemoveField("post", "x"))
    assert judged(operation, POST) == {code}


@pytest.mark.parametrize(
    "operation",
    [
        RenameModel("Post", "Article"),
        RunSQL("DROP TABLE t"),
        Unknown(),
        separate(state=REMOVED),
        AlterModelOptions("post", {}),
    ],
    ids=named,
)
def test_any_operation_may_declare_its_stage(operation: Operation) -> None:
    try:
        declaring(Stage.POST_DEPLOY, operation)
        assert judged(operation, POST) == {"declared-post"}
    finally:
        del operation.stage  # type: ignore[attr-defined]


def test_a_class_may_declare_the_stage_of_its_operations() -> None:
    class Backfill(RunPython):
        stage = Stage.POST_DEPLOY

    assert judged(Backfill(forwards)) == {"declared-post"}


def test_a_class_may_compute_the_stage_of_its_operations() -> None:
    class Removal(RemoveField):
        @property
        def stage(self) -> object:
            if self.name == "wrong":
                raise KeyError("wrong")
            return Stage.POST_DEPLOY

    assert judged(Removal("post", "x"), POST) == {"declared-post"}
    effects = operation_effects(Removal("post", "x"), APP, history(POST))
    assert {rule.code for rule in effects} == {"remove-field-not-null"}
    with pytest.raises(NotAStage, match=r"KeyError\('wrong'\) is no stage"):
        judged(Removal("post", "wrong"), POST)


def test_a_declared_stage_counts_where_the_operation_is_wrapped() -> None:
    late = declaring(Stage.POST_DEPLOY, RunSQL(BACKFILL))
    assert judged(separate([late], [add("y", NULLABLE)]), POST) == {"declared-post"}


def test_a_declared_stage_counts_on_a_new_model() -> None:
    late = declaring(Stage.POST_DEPLOY, RemoveField("post", "x"))
    assert judged(late, new=[POST]) == {"declared-post"}


@pytest.mark.parametrize(
    "nonsense", ["", "pre", "PRE_DEPLOY", "pre-deploy", 0, False, True, [], {}, Stage]
)
def test_a_declared_stage_that_is_none(nonsense: object) -> None:
    with pytest.raises(NotAStage, match="is no stage") as raised:
        judged(declaring(nonsense, RunSQL("")), POST)
    assert repr(nonsense) in str(raised.value)
    assert "Stage.PRE_DEPLOY or Stage.POST_DEPLOY" in str(raised.value)


def test_a_declared_stage_that_is_none_is_one_wherever_it_is_wrapped() -> None:
    with pytest.raises(NotAStage):
        judged(separate([separate([declaring("later", RunSQL(""))])]), POST)
    with pytest.raises(NotAStage):
        judged(separate([RunSQL("-")], [declaring("later", RunSQL(""))]), POST)


def test_what_stands_for_a_stage() -> None:
    assert to_stage(None) is None
    for stage in Stage:
        assert to_stage(stage) is to_stage(stage.value) is stage


# --- Operations of other classes


def test_an_unknown_operation() -> None:
    assert judged(Unknown(), POST) == {"unknown"}
    assert judged(Operation(), POST) == {"unknown"}


def test_what_is_opaque() -> None:
    opaque = {code for code, rule in rules.catalogue().items() if is_opaque(rule)}
    assert opaque == {"run-sql", "run-python", "unknown"}


class Unready(FieldOperation):
    """Has none of the attributes that its base class promises."""

    def __init__(self) -> None:
        pass


class UnreadyAddField(AddField):
    def __init__(self) -> None:
        pass


class UnreadyDeleteModel(DeleteModel):
    def __init__(self) -> None:
        pass


class UnreadyCreateModel(CreateModel):
    def __init__(self) -> None:
        pass


class UnreadyRunPython(RunPython):
    def __init__(self) -> None:
        pass


class UnreadySeparate(SeparateDatabaseAndState):
    def __init__(self) -> None:
        pass


class OfAllModels(AlterField):
    """Is about more than one model, and says so with a name that is none."""

    def __init__(self) -> None:
        super().__init__(None, "x", IntegerField())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "operation_class",
    [
        Unready,
        UnreadyAddField,
        UnreadyDeleteModel,
        UnreadyCreateModel,
        UnreadyRunPython,
        UnreadySeparate,
        OfAllModels,
    ],
)
def test_a_subclass_that_keeps_no_promise_is_unknown(
    operation_class: type[Operation],
) -> None:
    assert judged(operation_class(), POST) == {"unknown"}


class Locked(AddField):
    """As third parties write them: the same effect, in another way."""

    def database_forwards(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("Judging runs nothing.")


class Mixin:
    stage = None


def test_a_subclass_is_what_its_base_is() -> None:
    assert judged(Locked("post", "y", NULLABLE), POST) == {"add-field"}
    assert judged(Locked("post", "y", NULLABLE), new=[POST]) == {"unseen"}
    assert judged(Locked("legacy", "y", NULLABLE), UNMANAGED) == {"state-only"}


def test_of_several_bases_the_first_counts() -> None:
    class Mixed(Mixin, Unknown, AddField):
        pass

    class Both(RunSQL, AddField):
        def __init__(self) -> None:
            RunSQL.__init__(self, DROP)
            self.model_name, self.name, self.field = "post", "y", NULLABLE

    assert judged(Mixed("post", "y", NULLABLE), POST) == {"add-field"}
    assert judged(Both(), POST) == {"run-sql-drop"}


def test_an_operation_class_of_the_same_name_is_another_class() -> None:
    class ValidateConstraint(Operation):
        pass

    assert judged(ValidateConstraint(), POST) == {"unknown"}


# --- Teaching


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (None, "state-only"),
        (Stage.PRE_DEPLOY, "declared-pre"),
        (Stage.POST_DEPLOY, "declared-post"),
        (rules.RENAME_COLUMN, "rename-column"),
        ([], "state-only"),
        ([rules.ADD_FIELD], "add-field"),
        ((rules.ADD_FIELD, rules.REMOVE_INDEX), "add-field remove-index"),
        (iter([rules.ADD_FIELD]), "add-field"),
    ],
)
def test_a_registered_function_judges(answer: Any, codes: str) -> None:
    class Taught(Operation):
        pass

    @register(Taught)
    def judge(operation: Taught, app_label: str, state: History) -> Any:
        return answer

    assert judged(Taught(), POST) == set(codes.split())


def test_a_registered_function_is_told_what_there_is_to_know() -> None:
    class Taught(Operation):
        pass

    seen: list[Any] = []

    @register(Taught)
    def judge(operation: Taught, app_label: str, state: History) -> None:
        seen[:] = [operation, app_label, state]

    operation, state = Taught(), history(POST)
    operation_rules(operation, APP, state)
    assert seen == [operation, APP, state]
    assert judge(operation, APP, state) is None  # It stays what it was.


def test_a_mistake_in_a_registered_function_shows() -> None:
    """To take the operation for an unknown one would hide what it was meant to say."""

    class Taught(AddField):
        pass

    @register(Taught)
    def judge(operation: Taught, app_label: str, state: History) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        judged(Taught("post", "y", NULLABLE), POST)


def test_a_generator_may_judge() -> None:
    class Taught(Operation):
        pass

    @register(Taught)
    def judge(operation: Taught, app_label: str, state: History) -> Iterator[Rule]:
        yield rules.ADD_INDEX
        yield rules.REMOVE_INDEX

    assert judged(Taught()) == {"add-index", "remove-index"}


def test_the_function_of_the_nearest_class_judges() -> None:
    class Parent(AddField):
        pass

    class Child(Parent):
        pass

    class Sibling(AddField):
        pass

    register(Parent)(lambda operation, app_label, state: Stage.POST_DEPLOY)
    field = IntegerField(null=True)
    assert judged(Parent("post", "y", field), POST) == {"declared-post"}
    assert judged(Child("post", "y", field), POST) == {"declared-post"}
    assert judged(Sibling("post", "y", field), POST) == {"add-field"}
    register(Child)(lambda operation, app_label, state: None)
    assert judged(Child("post", "y", field), POST) == {"state-only"}


def test_what_never_waits_is_told_from_the_class() -> None:
    class Taught(AddField):
        pass

    class Staged(AddField):
        stage = Stage.PRE_DEPLOY

    assert never_waits(AddField("post", "y", NULLABLE))
    assert never_waits(RunPython(RunPython.noop))
    assert never_waits(Taught("post", "y", NULLABLE))
    register(Taught)(lambda operation, app_label, state: Stage.PRE_DEPLOY)
    # What these say has to be looked at: it may be wrong.
    assert not never_waits(Taught("post", "y", NULLABLE))
    assert not never_waits(Staged("post", "y", NULLABLE))
    # What comes before these decides, or what they say.
    assert not any(
        map(never_waits, [RemoveField("post", "x"), RunSQL("SELECT 1"), Operation()])
    )


def test_a_class_may_have_the_name_of_its_base() -> None:
    def subclass(base: type[Operation]) -> type[Operation]:
        class Taught(base):  # type: ignore[misc, valid-type]
            pass

        return Taught

    parent = subclass(Operation)
    child = subclass(parent)
    register(parent)(lambda operation, app_label, state: Stage.PRE_DEPLOY)
    assert judged(child()) == {"declared-pre"}
    register(child)(lambda operation, app_label, state: Stage.POST_DEPLOY)
    assert judged(child()) == {"declared-post"}
    assert judged(parent()) == {"declared-pre"}


def test_several_classes_may_be_registered_at_once() -> None:
    class One(Operation):
        pass

    class Two(Operation):
        pass

    register(One, Two)(lambda operation, app_label, state: rules.ADD_INDEX)
    assert judged(One()) == judged(Two()) == {"add-index"}


def test_a_declared_stage_goes_before_a_registered_function() -> None:
    class Taught(Operation):
        stage = "post_deploy"

    register(Taught)(lambda operation, app_label, state: Stage.PRE_DEPLOY)
    assert judged(Taught()) == {"declared-post"}


# --- What third parties do to the state


class Raising(Unknown):
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        raise RuntimeError("Not today.")


class Rendering(Unknown):
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.apps.get_model(app_label, "Post")


class Adding(Unknown):
    """Puts a model into the state by itself."""

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.models[app_label, "extra"] = ModelState(
            app_label, "Extra", [("id", BigAutoField(primary_key=True))]
        )


class Deleting(Unknown):
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        del state.models[app_label, "post"]


class Replacing(Unknown):
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        twin = state.clone()
        state.models = twin.models
        state.models[app_label, "post"].fields["x"] = Field()


@pytest.mark.parametrize(
    "operation_class", [Raising, Rendering, Adding, Deleting, Replacing]
)
def test_whatever_an_operation_does_to_the_state_others_can_be_judged(
    operation_class: type[Operation],
) -> None:
    state = history(POST)
    state.advance(operation_class(), APP)
    for operation in (
        REMOVE,
        AlterField("post", "x", IntegerField(null=True)),
        AddConstraint("post", UNIQUE),
        AlterUniqueTogether("post", {("id", "x")}),
        RenameModel("Post", "Article"),
        DeleteModel("Extra"),
    ):
        assert operation_rules(operation, APP, state)
        state.advance(operation, APP)


def test_an_unknown_operation_wrapped_with_others_crashes_nothing() -> None:
    wrapped = separate([Raising(), Rendering(), Deleting(), REMOVE, Raising()])
    assert judged(wrapped, POST) == {"unknown", "remove-field"}
