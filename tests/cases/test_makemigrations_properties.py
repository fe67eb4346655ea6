"""Whatever changes in the models: it is refused, or written such that it is safe."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.migrations import CreateModel, DeleteModel, Migration
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import Q
from django.utils import timezone
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from syzygy import Stage
from syzygy.generation.errors import Refused
from syzygy.generation.settling import planned_stage
from syzygy.generation.states import copied, history_of
from syzygy.history import History
from syzygy.requirements import operation_rules
from syzygy.stages import Policy, decide
from tests.generation_helpers import applied, drift, generated
from tests.properties import examples

MODELS = [("blog", "Author"), ("blog", "Post"), ("shop", "Item")]
booleans = st.booleans()


def word() -> str:
    return "word"


def options(**strategies: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these, each with a value."""
    return st.fixed_dictionaries({}, optional=strategies)


COMMON = {
    "null": st.just(True),
    "unique": st.just(True),
    "db_index": st.just(True),
    "help_text": st.just("Help"),
}
INTEGERS = [
    models.SmallIntegerField,
    models.IntegerField,
    models.BigIntegerField,
    models.PositiveIntegerField,
    models.PositiveBigIntegerField,
]


@st.composite
def texts(draw: st.DrawFn) -> Any:
    given = draw(
        options(
            **COMMON,
            blank=st.just(True),
            default=st.sampled_from(["a", "b", word, str]),
            db_default=st.sampled_from(["a", "b"]),
        )
    )
    if draw(st.integers(0, 4)) == 0:
        return models.TextField(**given)
    return models.CharField(max_length=draw(st.sampled_from([20, 30])), **given)


@st.composite
def numbers(draw: st.DrawFn) -> Any:
    cls: Any = draw(st.sampled_from(INTEGERS))
    return cls(**draw(options(**COMMON, default=st.sampled_from([1, 2, int]))))


@st.composite
def decimals(draw: st.DrawFn) -> Any:
    digits = draw(st.sampled_from([5, 9]))
    given = draw(options(null=st.just(True), default=st.sampled_from([0, 1])))
    return models.DecimalField(max_digits=digits, decimal_places=2, **given)


@st.composite
def moments(draw: st.DrawFn) -> Any:
    given: dict[str, Any] = draw(
        st.sampled_from(
            [
                {},
                {"null": True},
                {"auto_now": True},
                {"auto_now_add": True},
                {"default": timezone.now},
                {"default": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
            ]
        )
    )
    return models.DateTimeField(**given)


@st.composite
def identifiers(draw: st.DrawFn) -> Any:
    given = draw(
        options(
            null=st.just(True),
            unique=st.just(True),
            default=st.sampled_from([uuid.uuid4, uuid.UUID(int=1)]),
        )
    )
    return models.UUIDField(**given)


@st.composite
def relations(draw: st.DrawFn) -> Any:
    cls: Any = draw(st.sampled_from([models.ForeignKey, models.OneToOneField]))
    given = draw(
        options(
            null=st.just(True),
            db_constraint=st.just(False),
            default=st.just(1),
        )
    )
    # With a constraint, nobody could delete what it refers to.
    is_loose = "db_constraint" in given and draw(booleans)
    on_delete = models.DO_NOTHING if is_loose else models.CASCADE
    return cls("blog.author", on_delete=on_delete, related_name="+", **given)


@st.composite
def joins(draw: st.DrawFn) -> Any:
    given = draw(options(db_constraint=st.just(False), blank=st.just(True)))
    return models.ManyToManyField("blog.author", related_name="+", **given)


# The kind of a field goes by its name, so that few changes of its type are refused.
KINDS = {
    "char": texts(),
    "text": texts(),
    "count": numbers(),
    "size": numbers(),
    "price": decimals(),
    "moment": moments(),
    "code": identifiers(),
    "author": relations(),
    "owner": relations(),
    "readers": joins(),
    "writers": joins(),
}
RELATIONS = {"author", "owner", "readers", "writers"}


@st.composite
def model_states(draw: st.DrawFn, label: str, name: str, is_known: bool) -> ModelState:
    chosen = draw(st.sets(st.sampled_from(sorted(KINDS)), max_size=5))
    key: Any = models.BigAutoField(primary_key=True)
    fields = {"id": key}
    for field_name in sorted(chosen):
        if is_known or field_name not in RELATIONS:
            fields[field_name] = draw(KINDS[field_name])
    return ModelState(label, name, fields, draw(metas(name.lower(), fields)))


@st.composite
def metas(draw: st.DrawFn, name: str, fields: dict[str, Any]) -> Any:
    # Databases have the names of indexes and constraints for the whole schema.
    columns = sorted(each for each, field in fields.items() if not field.many_to_many)
    pairs = [(a, b) for a in columns for b in columns if a != b]
    chosen: dict[str, Any] = {}
    if pairs:
        pair = st.sampled_from(pairs)
        names = st.sampled_from([f"{name}_u", f"{name}_v"])
        if draw(st.integers(0, 3)) == 0:
            chosen["unique_together"] = {draw(pair)}
        indexed = draw(st.lists(pair, max_size=1))
        chosen["indexes"] = [
            models.Index(fields=each, name=f"{name}_i") for each in indexed
        ]
        chosen["constraints"] = [
            models.UniqueConstraint(fields=each, name=draw(names))
            for each in draw(st.lists(pair, max_size=1))
        ]
    if "count" in fields and draw(booleans):
        check = models.CheckConstraint(
            condition=Q(count__gt=0), name=f"{name}_positive"
        )
        chosen.setdefault("constraints", []).append(check)
    if "author" in fields and draw(st.integers(0, 3)) == 0:
        chosen["order_with_respect_to"] = "author"
    elif draw(booleans):
        chosen["ordering"] = ["id"]
    return chosen


@st.composite
def project_states(draw: st.DrawFn) -> ProjectState:
    """The models of two apps; the second refers to the first."""
    result = ProjectState()
    has_author = draw(st.integers(0, 5)) > 0
    for label, name in MODELS:
        is_author = name == "Author"
        if has_author if is_author else draw(st.integers(0, 5)) > 0:
            result.add_model(draw(model_states(label, name, has_author)))
    return result


class Answering(MigrationQuestioner):
    """Somebody who has a value for each new field that needs one."""

    VALUES = {"code": uuid.UUID(int=1), "moment": timezone.now}

    def ask_not_null_addition(self, field_name: str, model_name: str) -> Any:
        return self.VALUES.get(field_name, 1)


def settled_history(state: ProjectState) -> History:
    return history_of(copied(state))


def judged(
    migrations: Iterable[Migration], history: History
) -> Iterable[tuple[Migration, Any, Any]]:
    """Each operation with its rules, as the running release sees it."""
    history.unseen = {"new"}
    for migration in migrations:
        before = planned_stage(migration) is Stage.PRE_DEPLOY
        history.origin = "new" if before else None
        for operation in migration.operations:
            yield (
                migration,
                operation,
                operation_rules(operation, migration.app_label, history),
            )
            history.advance(operation, migration.app_label)


# What each half may do although the rule for it says more.
HARMLESS = {
    # Of a model that goes, the new release knows nothing.
    "delete-model-relations",
    "remove-field-constrained",
    "remove-field-m2m",
    "remove-field-not-null",
    "remove-field-relation",
    "remove-field-unique",
    "remove-order",
}


@given(project_states(), project_states())
@settings(max_examples=examples(100))
def test_refused_or_safe(before: ProjectState, after: ProjectState) -> None:
    note(f"{described(before)}\n->\n{described(after)}")
    migrations = written(before, after)
    if migrations is None:
        return
    gone = before.models.keys() - after.models.keys()
    declared = 0
    for migration, operation, rules in judged(migrations, settled_history(before)):
        name = getattr(operation, "model_name_lower", None) or getattr(
            operation, "name_lower", ""
        )
        going = (migration.app_label, name) in gone
        for rule in rules:
            assert rule.stageable, (operation, rule)
            assert not rule.split or (going and rule.code in HARMLESS), (
                operation,
                rule,
            )
            if rule.required not in (None, planned_stage(migration)):
                assert getattr(migration, "stage", None), (operation, rule)
                declared += 1
    if declared:
        event("declared")
    # Each is of the stage that it was made for, whoever asks.
    history = settled_history(before)
    for migration in migrations:
        stage = decide(migration, history, Policy()).stage
        assert stage in (planned_stage(migration), None), migration.operations
    # It ends where it should.
    assert not drift(applied(before, migrations), after)
    assert_few(migrations)


def written(before: ProjectState, after: ProjectState) -> list[Migration] | None:
    """The migrations, or ``None`` if they are refused with a reason."""
    refused: Refused | None = None
    try:
        migrations = generated(before, after, Answering({"ask_initial": True}))
    except Refused as error:
        refused = error
    event("refused" if refused else "written")
    if refused is None:
        return migrations
    assert refused.problems
    assert all(problem.ways for problem in refused.problems)
    return None


def described(state: ProjectState) -> str:
    lines = []
    for key, model in state.models.items():
        fields = {
            name: MigrationWriter.serialize(field)[0]
            for name, field in model.fields.items()
        }
        lines.append(f"{key} {fields} {model.options}")
    return "\n".join(lines)


def assert_few(migrations: list[Migration]) -> None:
    """Check that there is one migration for each stage, or that it tells why."""
    files: dict[tuple[str, Any], list[Migration]] = defaultdict(list)
    for migration in migrations:
        files[migration.app_label, planned_stage(migration)].append(migration)
    for own in files.values():
        for migration in own[1:]:
            assert getattr(migration, "comments", None), migration.operations
    counted = Counter(migration.app_label for migration in migrations)
    assert max(counted.values(), default=0) <= 4


@given(project_states())
@settings(max_examples=examples(20))
def test_nothing_is_written_for_nothing(state: ProjectState) -> None:
    assert generated(state, copied(state)) == []


@given(project_states())
@settings(max_examples=examples(30))
def test_first_migrations_are_those_of_django(state: ProjectState) -> None:
    migrations = generated(ProjectState(), state)
    assert all(planned_stage(each) is Stage.PRE_DEPLOY for each in migrations)
    assert not drift(applied(ProjectState(), migrations), state)
    operations = [each for own in migrations for each in own.operations]
    assert sum(isinstance(each, CreateModel) for each in operations) == len(
        state.models
    )


@given(project_states())
@settings(max_examples=examples(30))
def test_all_models_may_go(state: ProjectState) -> None:
    migrations = generated(state, ProjectState())
    operations = [each for own in migrations for each in own.operations]
    deleted = [each for each in operations if isinstance(each, DeleteModel)]
    assert len(deleted) == len(state.models)
    assert not applied(state, migrations).models
