"""The stage of one migration: who says so, and what it is told from."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from django import VERSION
from django.db import migrations, models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelOptions,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import (
    CharField,
    ForeignKey,
    Index,
    IntegerField,
    UniqueConstraint,
)

from syzygy import Stage, rules
from syzygy.ambiguity import complain
from syzygy.exceptions import AmbiguousStage
from syzygy.history import History
from syzygy.messages import describe
from syzygy.stages import (
    Decision,
    Judgement,
    Policy,
    Source,
    decide,
    infer,
    skip,
)
from tests.rules_helpers import (
    APP,
    add,
    decide_all,
    history,
    migration,
    model,
    named,
    post,
)

PRE, POST = Stage.PRE_DEPLOY, Stage.POST_DEPLOY

BEFORE = [post(x=IntegerField(), y=IntegerField(null=True))]
NULLABLE = IntegerField(null=True)
ADD = AddField("post", "z", NULLABLE)
REMOVE = RemoveField("post", "y")
RENAME = RenameField("post", "x", "z")
OPTIONS = AlterModelOptions("post", {"ordering": ["x"]})
INDEX = AddIndex("post", Index(fields=["x"], name="i"))
DROP_INDEX = RemoveIndex("post", "i")
SHORTER = AlterField("post", "x", IntegerField(db_index=True))
PYTHON = RunPython(lambda apps, schema_editor: None)


class Unknown(Operation):
    """Of a class that no rule covers."""

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def describe(self) -> str:
        raise NotImplementedError


def decision(*operations: Operation, **options: Any) -> Decision:
    """The decision on a migration of these operations."""
    policy = Policy(**options.pop("policy", {}))
    return decide_all(
        migration("0002_change", *operations, **options), before=BEFORE, policy=policy
    )[0]


# --- What the operations require


@pytest.mark.parametrize(
    ("operations", "stage", "required"),
    [
        ([], None, False),
        ([OPTIONS], None, False),
        ([RunSQL(RunSQL.noop), RunPython(RunPython.noop)], None, False),
        ([ADD], PRE, True),
        ([PYTHON], PRE, True),
        ([RunSQL("SELECT 1")], PRE, True),
        ([REMOVE], POST, True),
        ([RunSQL("DROP TABLE legacy")], POST, True),
        # Without a requirement operations go where they would rather be,
        ([SHORTER], PRE, False),
        ([Unknown()], PRE, False),
        ([DROP_INDEX], POST, False),
        ([SHORTER, DROP_INDEX], PRE, False),
        ([DROP_INDEX, SHORTER], PRE, False),
        # and with a company that has one they go along.
        ([DROP_INDEX, ADD], PRE, True),
        ([SHORTER, REMOVE], POST, True),
        ([Unknown(), REMOVE], POST, True),
        ([OPTIONS, REMOVE], POST, True),
        ([OPTIONS, DROP_INDEX], POST, False),
        ([ADD, INDEX, PYTHON], PRE, True),
        ([REMOVE, RunSQL("DROP TABLE legacy")], POST, True),
        # What is created on the way is of no concern to the running release.
        ([ADD, RemoveField("post", "z")], PRE, True),
        ([CreateModel("Tag", []), DeleteModel("Tag")], PRE, True),
        ([CreateModel("Tag", []), RenameModel("Tag", "Label")], PRE, True),
    ],
    ids=named,
)
def test_the_stage_that_operations_require(
    operations: list[Operation], stage: Stage | None, required: bool
) -> None:
    found = decision(*operations)
    assert (found.stage, found.required) == (stage, required)
    assert found.source is Source.INFERRED
    assert not found.is_defined


def test_the_reason_names_the_first_operation_that_decides() -> None:
    found = decision(OPTIONS, SHORTER, ADD, PYTHON)
    assert found.deciding == (ADD, rules.ADD_FIELD)
    assert found.reason == f"Add field z to post: {rules.ADD_FIELD.why}"
    assert str(found) == f"inferred: {found.reason}"
    found = decision(DROP_INDEX, OPTIONS)
    assert found.deciding == (DROP_INDEX, rules.REMOVE_INDEX)
    found = decision(OPTIONS)
    assert found.deciding is None
    assert found.reason == rules.STATE_ONLY.why


def test_the_operations_judged_are_those_of_this_app() -> None:
    other = migration("0001_initial", RENAME, app_label="shop")
    with pytest.raises(AmbiguousStage, match=r"shop\.0001_initial"):
        decide_all(other, before=BEFORE)


# --- What no stage suits


@pytest.mark.parametrize(
    ("operations", "named"),
    [
        ([ADD, REMOVE], ["Add field z", "Remove field y", "before", "after"]),
        ([REMOVE, ADD], ["Add field z", "Remove field y", "before", "after"]),
        ([PYTHON, REMOVE], ["Raw Python", "Remove field y", "before", "after"]),
        ([RENAME], ["Rename field x on post to z", rules.RENAME_COLUMN.why]),
        ([ADD, REMOVE, RENAME], ["Rename field x on post to z"]),
        ([RENAME, OPTIONS], ["no stage is safe"]),
        ([RunSQL("ALTER TABLE a RENAME TO b")], ["Raw SQL", "no stage is safe"]),
    ],
)
def test_an_ambiguous_stage_says_what_is_ambiguous(
    operations: list[Operation], named: list[str]
) -> None:
    with pytest.raises(AmbiguousStage) as raised:
        decision(*operations)
    for words in ("blog.0002_change", "ambiguous", *named):
        assert words in raised.value.summary
    assert "\n" not in raised.value.summary
    assert raised.value.summary.endswith(".")


def test_the_ways_out_of_an_ambiguous_stage_can_be_pasted() -> None:
    with pytest.raises(AmbiguousStage) as raised:
        decision(RENAME)
    lines = [line.strip() for line in raised.value.remedy.splitlines()]
    assert "from syzygy import Stage" in lines
    assert any(line.startswith("stage = Stage.PRE_DEPLOY") for line in lines)
    setting = next(line for line in lines if line.startswith("MIGRATION_"))
    namespace: dict[str, Any] = {}
    exec(setting, namespace)
    override = namespace["MIGRATION_STAGES_OVERRIDE"]
    assert override == {"blog.0002_change": "pre_deploy"}
    assert decision(RENAME, policy={"override": {"blog.0002_change": PRE}}).stage is PRE
    assert str(raised.value).startswith(raised.value.summary)
    assert str(raised.value).endswith(raised.value.remedy)


def test_an_override_is_added_to_those_that_there_are() -> None:
    with pytest.raises(AmbiguousStage) as raised:
        decision(RENAME, policy={"override": {"shop": POST}})
    setting = raised.value.remedy.splitlines()[-1].strip()
    namespace: dict[str, Any] = {"MIGRATION_STAGES_OVERRIDE": {"shop": "post_deploy"}}
    exec(setting, namespace)
    assert namespace["MIGRATION_STAGES_OVERRIDE"] == {
        "shop": "post_deploy",
        "blog.0002_change": "pre_deploy",
    }


# --- Who says so


def test_an_override_of_the_migration_goes_before_one_of_the_app() -> None:
    by_name = {"blog.0002_change": PRE, "blog": POST}
    found = decision(ADD, policy={"override": by_name})
    assert (found.stage, found.source) == (PRE, Source.OVERRIDE)
    by_app = {"blog.0001_change": PRE, "shop.0002_change": PRE, "blog": POST}
    found = decision(ADD, policy={"override": by_app})
    assert (found.stage, found.source) == (POST, Source.OVERRIDE)


@pytest.mark.parametrize("key", ["shop", "blog.0002", "0002_change", "blo"])
def test_an_override_of_something_else_is_none(key: str) -> None:
    assert decision(ADD, policy={"override": {key: POST}}).source is Source.INFERRED


@pytest.mark.parametrize("key", ["blog", "blog.0002_change"])
def test_an_override_goes_before_what_the_migration_declares(key: str) -> None:
    found = decision(ADD, stage=PRE, policy={"override": {key: POST}})
    assert (found.stage, found.source, found.required) == (POST, Source.OVERRIDE, True)
    assert str(found) == "MIGRATION_STAGES_OVERRIDE"
    assert found.is_defined


@pytest.mark.parametrize("operations", [[ADD], [REMOVE], [RENAME], [ADD, REMOVE], []])
@pytest.mark.parametrize("declared", [POST, "post_deploy", PRE, "pre_deploy"])
def test_what_the_migration_declares_goes_before_what_is_inferred(
    operations: list[Operation], declared: Stage | str
) -> None:
    found = decision(*operations, stage=declared)
    assert found.stage is Stage(declared)
    assert found.source is Source.DECLARED
    assert found.required
    assert found.is_defined
    assert str(found) == "declared in the migration"


def test_a_migration_may_declare_nothing() -> None:
    assert decision(ADD, stage=None).source is Source.INFERRED


def test_a_class_attribute_declares() -> None:
    class Declared(Migration):
        stage = POST
        operations = [ADD]

    [found] = decide_all(Declared("0002", APP), before=BEFORE)
    assert (found.stage, found.source) == (POST, Source.DECLARED)


def test_the_baseline_goes_before_everything() -> None:
    policy = {"baseline": {("blog", "0002_change")}, "override": {"blog": PRE}}
    found = decision(RENAME, stage=POST, policy=policy)
    assert found == Decision(None, Source.BASELINE, required=False)
    assert str(found) == "MIGRATION_STAGES_BASELINE"
    assert found.is_defined
    other = {"baseline": {("blog", "0001_change"), ("shop", "0002_change")}}
    assert decision(ADD, policy=other).source is Source.INFERRED


AMBIGUOUS = pytest.mark.parametrize(
    "operations", [[RENAME], [ADD, REMOVE]], ids=["never", "conflict"]
)


@AMBIGUOUS
def test_a_fallback_decides_where_nothing_else_does(
    operations: list[Operation],
) -> None:
    fallback = {"blog.0002_change": POST, "blog": PRE}
    found = decision(*operations, policy={"fallback": fallback})
    assert (found.stage, found.source, found.required) == (POST, Source.FALLBACK, True)
    assert found.is_defined
    assert str(found).startswith("MIGRATION_STAGES_FALLBACK: ")
    assert describe(operations[0]) in found.reason
    found = decision(*operations, policy={"fallback": {"blog": PRE}})
    assert (found.stage, found.source) == (PRE, Source.FALLBACK)


@AMBIGUOUS
def test_the_fallback_for_third_parties_is_the_last(
    operations: list[Operation],
) -> None:
    policy: dict[str, Any] = {
        "fallback": {"shop": POST},
        "third_party_fallback": PRE,
        "is_third_party": lambda app_label: app_label == "blog",
    }
    found = decision(*operations, policy=policy)
    assert (found.stage, found.source) == (PRE, Source.THIRD_PARTY)
    assert str(found).startswith("MIGRATION_THIRD_PARTY_STAGES_FALLBACK: ")
    own = {**policy, "fallback": {"blog": POST}}
    assert decision(*operations, policy=own).source is Source.FALLBACK
    with pytest.raises(AmbiguousStage):
        decision(*operations, policy={**policy, "third_party_fallback": None})
    with pytest.raises(AmbiguousStage):
        decision(*operations, policy={**policy, "is_third_party": lambda _: False})


def test_a_fallback_is_not_used_where_the_stage_is_clear() -> None:
    asked = []

    def is_third_party(app_label: str) -> bool:
        asked.append(app_label)
        return True

    policy: dict[str, Any] = {
        "fallback": {"blog": POST},
        "third_party_fallback": POST,
        "is_third_party": is_third_party,
    }
    assert decision(ADD, policy=policy).stage is PRE
    assert decision(OPTIONS, policy=policy).stage is None
    assert decision(ADD, stage=PRE, policy=policy).source is Source.DECLARED
    assert not asked


def test_a_policy_says_nothing_by_itself() -> None:
    policy = Policy()
    assert policy.overridden(migration("0001")) is None
    assert policy.fallen_back(migration("0001")) is None
    third_party = Policy(third_party_fallback=PRE)
    assert third_party.fallen_back(migration("0001")) is None


def test_what_the_settings_hold_is_not_changed() -> None:
    settings = {
        name: MappingProxyType({"blog": POST}) for name in ("override", "fallback")
    }
    assert decision(RENAME, policy=settings).stage is POST


# --- Nonsense


@pytest.mark.parametrize("nonsense", ["pre", "PRE_DEPLOY", "", 0, True, False, [], {}])
def test_a_migration_that_declares_nonsense(nonsense: object) -> None:
    with pytest.raises(AmbiguousStage) as raised:
        decision(ADD, stage=nonsense)
    assert "blog.0002_change" in raised.value.summary
    assert repr(nonsense) in raised.value.summary
    assert "Stage.PRE_DEPLOY or Stage.POST_DEPLOY" in raised.value.summary
    assert "from syzygy import Stage" in raised.value.remedy


def declaring(stage: object) -> Operation:
    operation = AddField("post", "z", NULLABLE)
    operation.stage = stage  # type: ignore[attr-defined]
    return operation


def test_an_operation_that_declares_nonsense() -> None:
    with pytest.raises(AmbiguousStage, match=r"blog\.0002_change.*'later'"):
        decision(declaring("later"))


def test_no_fallback_covers_nonsense() -> None:
    with pytest.raises(AmbiguousStage):
        decision(ADD, stage="later", policy={"fallback": {"blog": PRE}})


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("stage", [PRE, POST])
def test_an_override_goes_before_nonsense(stage: Stage, planned: bool) -> None:
    for nonsense in (
        migration("0002_change", ADD, stage="later"),
        migration("0002_change", declaring("later")),
    ):
        policy = Policy(override={"blog": stage})
        [found] = decide_all(nonsense, before=BEFORE, policy=policy, planned=planned)
        assert found.stage is stage


def test_an_operation_may_declare_what_the_migration_lacks() -> None:
    assert decision(declaring(POST)).stage is POST
    assert decision(declaring("post_deploy"), REMOVE).stage is POST
    with pytest.raises(AmbiguousStage):
        decision(declaring(PRE), REMOVE)


# --- The state moves on


@pytest.mark.parametrize(
    "attributes", [{}, {"stage": PRE}, {"stage": POST}], ids=["inferred", "pre", "post"]
)
@pytest.mark.parametrize("planned", [True, False])
def test_the_state_moves_on(attributes: dict[str, Any], planned: bool) -> None:
    state = history(*BEFORE)
    plan = {("blog", "0002")} if planned else set()
    decide(migration("0002", ADD, **attributes), state, Policy(), plan)
    assert state.field((APP, "post"), "z") is not None


@pytest.mark.parametrize(
    ("operations", "attributes"),
    [
        ([RENAME, REMOVE, ADD], {}),
        ([ADD], {"stage": "later"}),
        ([declaring("later")], {}),
        ([declaring("later"), OPTIONS, REMOVE], {}),
    ],
    ids=["ambiguous", "nonsense", "operation", "first operation"],
)
def test_the_state_moves_on_past_what_is_ambiguous(
    operations: list[Operation], attributes: dict[str, Any]
) -> None:
    state = history(*BEFORE)
    with pytest.raises(AmbiguousStage):
        decide(migration("0002", *operations, **attributes), state, Policy())
    assert state.field((APP, "post"), "z") is not None
    if REMOVE in operations:
        assert state.field((APP, "post"), "y") is None


def test_the_state_moves_on_past_the_baseline() -> None:
    state = history(*BEFORE)
    policy = Policy(baseline={("blog", "0002")})
    decide(migration("0002", ADD), state, policy)
    assert state.field((APP, "post"), "z") is not None


def test_what_is_skipped_is_applied() -> None:
    state = history(*BEFORE)
    state.unseen = {("blog", "0002")}
    skip(migration("0002", ADD), state)
    assert state.field((APP, "post"), "z") is not None
    assert not state.is_unseen(APP, "post", "z")
    skip(migration("0003", model("Tag")), state)
    assert not state.is_unseen(APP, "tag")


def test_each_migration_is_judged_by_the_state_before_it() -> None:
    found = decide_all(
        migration("0002", AlterField("post", "x", NULLABLE)),
        migration("0003", AlterField("post", "x", IntegerField())),
        migration("0004", AlterField("post", "x", IntegerField(default=1))),
        before=BEFORE,
        planned=False,
    )
    assert [each.stage for each in found] == [PRE, POST, None]


# --- What comes in place of the same

TOGETHER = AlterUniqueTogether("post", {("x", "y")})
NOT_TOGETHER = AlterUniqueTogether("post", set())
PAIR = AddConstraint("post", UniqueConstraint(fields=["x", "y"], name="pair"))


@pytest.mark.parametrize("planned", [True, False])
def test_a_constraint_in_place_of_unique_together_waits_for_nothing(
    planned: bool,
) -> None:
    """As Django writes it: first it drops the set."""
    replaced = migration("0002", NOT_TOGETHER, PAIR)
    [found] = decide_all(replaced, before=[*BEFORE, TOGETHER], planned=planned)
    assert found.stage is PRE
    assert found.deciding == (NOT_TOGETHER, rules.REMOVE_UNIQUE_TOGETHER)


def test_a_constraint_in_place_of_what_the_same_plan_drops() -> None:
    """It goes along with that, whenever it is: there must be no gap between the two."""
    dropped, added = migration("0002", NOT_TOGETHER), migration("0003", PAIR)
    found = decide_all(dropped, added, before=[*BEFORE, TOGETHER])
    assert [each.stage for each in found] == [PRE, PRE]
    assert [each.required for each in found] == [True, False]


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(
    "whole",
    [
        SeparateDatabaseAndState([NOT_TOGETHER, PAIR]),
        RunSQL("SELECT 1", state_operations=[NOT_TOGETHER, PAIR]),
    ],
    ids=named,
)
def test_a_constraint_in_place_of_another_inside_of_one_operation(
    whole: Operation, planned: bool
) -> None:
    found = decide_all(
        migration("0002", whole), before=[*BEFORE, TOGETHER], planned=planned
    )
    assert [each.stage for each in found] == [PRE]


def test_what_an_earlier_release_dropped_is_not_in_force() -> None:
    found = decide_all(
        migration("0002", NOT_TOGETHER),
        migration("0003", PAIR),
        before=[*BEFORE, TOGETHER],
        planned=False,
    )
    assert [each.stage for each in found] == [PRE, POST]


# --- What the same plan creates

TAG = CreateModel("Tag", [("x", CharField(max_length=50))])
UNIQUE = AddConstraint("tag", UniqueConstraint(fields=["x"], name="u"))


@pytest.mark.parametrize(
    "attributes",
    [{}, {"stage": PRE}, {"stage": POST}],
    ids=["inferred", "declared pre", "declared post"],
)
@pytest.mark.parametrize(
    "operation",
    [
        RemoveField("tag", "x"),
        UNIQUE,
        DeleteModel("Tag"),
        RenameField("tag", "x", "y"),
        RenameModel("Tag", "Label"),
    ],
    ids=named,
)
def test_what_an_earlier_migration_of_the_plan_creates_is_new(
    operation: Operation, attributes: dict[str, Any]
) -> None:
    created = migration("0002", TAG, **attributes)
    found = decide_all(created, migration("0003", operation))[1]
    assert found.unseen or found.stage is PRE
    overridden = Policy(override={"blog.0002": PRE})
    plain = [migration("0002", TAG), migration("0003", operation)]
    found = decide_all(*plain, policy=overridden)[1]
    assert found.unseen or found.stage is PRE


def test_it_keeps_its_own_stage_if_it_has_one() -> None:
    found = decide_all(migration("0002", TAG), migration("0003", UNIQUE))[1]
    assert (found.stage, found.required, found.unseen) == (POST, True, True)
    rename = migration("0003", RenameField("tag", "x", "y"))
    found = decide_all(migration("0002", TAG), rename)[1]
    assert (found.stage, found.required, found.unseen) == (PRE, True, True)


def test_what_was_created_before_the_plan_is_not_new() -> None:
    found = decide_all(migration("0003", UNIQUE), before=[TAG])[0]
    assert (found.stage, found.unseen) == (POST, False)
    with pytest.raises(AmbiguousStage):
        decide_all(migration("0003", RenameField("tag", "x", "y")), before=[TAG])
    state = History()
    skip(migration("0002", TAG), state)
    later = migration("0003", UNIQUE)
    found = decide(later, state, Policy(), {("blog", "0003")})
    assert not found.unseen


def test_without_a_plan_only_the_migration_itself_creates() -> None:
    found = decide_all(
        migration("0002", TAG, UNIQUE), migration("0003", UNIQUE), planned=False
    )
    assert [each.stage for each in found] == [PRE, POST]
    assert not found[1].unseen


def test_what_is_created_has_to_go_before_what_has_to_wait() -> None:
    both = migration("0003", RemoveField("tag", "x"), REMOVE)
    with pytest.raises(AmbiguousStage) as caught:
        decide_all(migration("0002", TAG), both, before=BEFORE)
    assert "the new release can't insert rows before it" in str(caught.value)
    assert decide_all(both, before=[*BEFORE, TAG])[0].stage is POST


def test_not_all_that_it_touches_is_new() -> None:
    mixed = migration("0003", UNIQUE, REMOVE)
    found = decide_all(migration("0002", TAG), mixed, before=BEFORE)[1]
    assert (found.stage, found.unseen) == (POST, False)
    both = migration("0003", UNIQUE, ADD)
    found = decide_all(migration("0002", TAG), both, before=BEFORE)[1]
    assert found.stage is PRE


@pytest.mark.parametrize(
    ("operations", "unseen"),
    [
        ([UNIQUE], True),
        ([add("y", NULLABLE, "tag")], True),
        ([add("y", NULLABLE, "tag"), RemoveField("tag", "x")], True),
        ([AddIndex("tag", Index(fields=["x"], name="i"))], True),
        ([CreateModel("Label", [])], True),
        ([AlterModelOptions("tag", {})], True),
        ([], True),
        ([UNIQUE, REMOVE], False),
        ([ADD], False),
        ([REMOVE], False),
        ([UNIQUE, PYTHON], False),
        ([RunSQL("UPDATE blog_tag SET x = 1")], False),
        ([UNIQUE, Unknown()], False),
    ],
    ids=named,
)
@pytest.mark.parametrize("key", ["stage", "override"])
def test_what_a_migration_touches_that_is_said_to_come_later(
    operations: list[Operation], unseen: bool, key: str
) -> None:
    attributes = {"stage": POST} if key == "stage" else {}
    policy = Policy(override={"blog.0003": POST} if key == "override" else {})
    later = migration("0003", *operations, **attributes)
    found = decide_all(migration("0002", TAG), later, before=BEFORE, policy=policy)[1]
    assert found.stage is POST
    assert found.unseen is unseen


def test_what_a_baseline_has_created_is_deployed() -> None:
    policy = Policy(baseline={("blog", "0002")})
    created = migration("0002", TAG)
    state = History()
    decide(created, state, policy)
    found = decide(migration("0003", UNIQUE), state, policy, {("blog", "0003")})
    assert (found.stage, found.unseen) == (POST, False)


ADOPTED = SeparateDatabaseAndState(state_operations=[TAG])
REMOVED = RemoveField("tag", "x")


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "adopted",
    [
        ADOPTED,
        SeparateDatabaseAndState([RunSQL("")], [TAG]),
        SeparateDatabaseAndState([ADOPTED], [TAG]),
        RunSQL(RunSQL.noop, state_operations=[TAG]),
    ],
    ids=["state", "no sql", "nested", "sql of its own"],
)
def test_what_only_the_state_gets_is_not_new(
    adopted: Operation, together: bool
) -> None:
    """Its table is there: it is a model that moves from app to app, or is adopted."""
    if together:
        migrations = [migration("0002", adopted, REMOVED)]
    else:
        migrations = [migration("0002", adopted), migration("0003", REMOVED)]
    found = decide_all(*migrations)[-1]
    assert (found.stage, found.unseen) == (POST, False)


@pytest.mark.parametrize("stage", [PRE, POST])
@pytest.mark.parametrize("key", ["stage", "override"])
def test_nor_is_it_where_someone_says_when_that_is(stage: Stage, key: str) -> None:
    attributes = {"stage": stage} if key == "stage" else {}
    policy = Policy(override={"blog.0002": stage} if key == "override" else {})
    adoption = migration("0002", ADOPTED, **attributes)
    found = decide_all(adoption, migration("0003", REMOVED), policy=policy)[1]
    assert (found.stage, found.unseen) == (POST, False)


@pytest.mark.parametrize(
    "created",
    [
        RunSQL("CREATE TABLE blog_tag (x int)", state_operations=[TAG]),
        SeparateDatabaseAndState([RunSQL("CREATE TABLE blog_tag (x int)")], [TAG]),
        SeparateDatabaseAndState([TAG], [TAG]),
    ],
    ids=["sql", "wrapped sql", "wrapped"],
)
@pytest.mark.parametrize("attributes", [{}, {"stage": PRE}], ids=["inferred", "pre"])
def test_what_sql_creates_is_new(
    created: Operation, attributes: dict[str, Any]
) -> None:
    creation = migration("0002", created, **attributes)
    found = decide_all(creation, migration("0003", REMOVED))[1]
    assert found.unseen


# --- Doubt


def test_it_is_uncertain_what_altering_an_unknown_field_does() -> None:
    unknown = AlterField("author", "x", NULLABLE)
    [found] = decide_all(migration("0002", unknown))
    assert (found.stage, found.required, found.uncertain) == (PRE, False, True)
    [found] = decide_all(migration("0002", unknown, REMOVE), before=BEFORE)
    assert (found.stage, found.uncertain) == (POST, True)
    [found] = decide_all(migration("0002", REMOVE), before=BEFORE)
    assert not found.uncertain


# --- The parts


def test_inferring_from_rules() -> None:
    def inferred(*judged: rules.Rule) -> tuple[Stage | None, bool] | None:
        found = infer([(ADD, rule) for rule in judged])
        return found and (found.stage, found.required)

    assert inferred() == (None, False)
    assert inferred(rules.STATE_ONLY, rules.DROP_DB_INDEX) == (POST, False)
    assert inferred(rules.DROP_DB_INDEX, rules.ADD_DB_INDEX) == (PRE, False)
    assert inferred(rules.DROP_DB_INDEX, rules.ADD_FIELD) == (PRE, True)
    assert inferred(rules.ADD_FIELD, rules.ADD_FIELD_NOT_NULL) == (PRE, True)
    assert inferred(rules.ADD_FIELD, rules.REMOVE_FIELD) is None
    assert inferred(rules.RENAME_COLUMN) is None
    assert inferred(rules.STATE_ONLY, rules.RENAME_COLUMN, rules.ADD_FIELD) is None


def test_one_operation_may_be_in_conflict_with_itself() -> None:
    both = AlterField("post", "x", CharField(max_length=50, null=True, unique=True))
    before = post(x=CharField(max_length=50))
    with pytest.raises(AmbiguousStage) as raised:
        # Others don't keep it from being told, which is of no use to split from it.
        decide_all(migration("0002", ADD, both, REMOVE), before=[before])
    assert (
        f'"{describe(both)}" has to run before the rollout as well as after it: '
        f"allowing NULL before it ({rules.DROP_NOT_NULL.why}), making it unique after "
        f"it ({rules.ADD_UNIQUE.why})."
    ) in raised.value.summary
    assert 'an AlterField of "x" that does no more than allowing NULL' in (
        raised.value.remedy
    )


def test_what_is_unique_together_is_split_as_it_is_pasted() -> None:
    fields = {name: IntegerField() for name in "abcd"}
    change = AlterUniqueTogether("post", {("a", "b"), ("c", "d"), ("d",)})
    before = [
        post(**fields),
        AlterUniqueTogether("post", {("a", "c"), ("b", "a"), ("a",)}),
    ]
    with pytest.raises(AmbiguousStage) as raised:
        decide_all(migration("0002", change), before=before)
    assert 'dropping ("a",), ("a", "c") before it' in raised.value.summary
    assert 'adding ("c", "d"), ("d",) after it' in raised.value.summary
    code = raised.value.remedy.splitlines()[1]
    first = eval(code, {"migrations": migrations})
    found = decide_all(
        migration("0002", first), migration("0003", change), before=before
    )
    assert [each.stage for each in found] == [PRE, POST]
    assert first.option_value == {("a", "b")}


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (AlterUniqueTogether("post", {("y",)}), '("post", set())'),
        (
            SeparateDatabaseAndState([ADD, REMOVE]),
            "Make two of that operation, one for each part",
        ),
    ],
)
def test_whatever_needs_both_stages_says_how_to_split_it(
    operation: Operation, told: str
) -> None:
    before = [*BEFORE, AlterUniqueTogether("post", {("x",)})]
    with pytest.raises(AmbiguousStage) as raised:
        decide_all(migration("0002", operation), before=before)
    assert "as well as after it" in raised.value.summary
    assert told in raised.value.remedy


@pytest.mark.skipif(VERSION < (6, 1), reason="the database doesn't act on delete")
def test_what_the_database_does_on_delete_is_not_split() -> None:
    def key(on_delete: Any) -> Any:
        return ForeignKey("blog.tag", on_delete, null=True)

    before = [model("Tag"), post(tag=key(getattr(models, "DB_CASCADE", None)))]
    change = AlterField("post", "tag", key(getattr(models, "DB_SET_NULL", None)))
    with pytest.raises(AmbiguousStage, match="in two deployments, by way of"):
        decide_all(migration("0002", change), before=before)


def test_a_complaint_prefers_what_no_stage_suits() -> None:
    pairs: Judgement = [(ADD, rules.ADD_FIELD), (REMOVE, rules.REMOVE_FIELD)]
    assert "no stage" not in complain(pairs, {})
    assert "no stage" in complain([*pairs, (RENAME, rules.RENAME_COLUMN)], {})


def test_an_operation_is_described_as_django_does() -> None:
    assert describe(ADD) == "Add field z to post"
    assert describe(RunSQL(())) == "Raw SQL operation"
    assert describe(RunPython(lambda apps, editor: None)) == "Raw Python operation"


def test_an_operation_of_code_is_told_from_others() -> None:
    assert describe(RunPython(RunPython.noop)) == "Raw Python operation (noop)"
    several: Any = [("SELECT 1", []), "SELECT 2"]
    for sql in ("SELECT\n 1", several):
        assert describe(RunSQL(sql)) == "Raw SQL operation (SELECT 1)"
    long = describe(RunSQL(f"SELECT '\x1b[0m', {', '.join('123456789')}"))
    assert long == r"Raw SQL operation (SELECT '\x1b[0m', 1, 2, 3, 4, 5, 6, 7, 8...)"


def test_an_operation_that_cannot_be_described_is_named() -> None:
    assert describe(Unknown()) == "Unknown"
