"""The light state: like Django's in what the rules ask for, and cheap."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterConstraint,
    AlterField,
    AlterIndexTogether,
    AlterModelManagers,
    AlterModelOptions,
    AlterModelTable,
    AlterModelTableComment,
    AlterOrderWithRespectTo,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameIndex,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.serializer import serializer_factory
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import (
    CASCADE,
    BigAutoField,
    CharField,
    CheckConstraint,
    CompositePrimaryKey,
    Field,
    ForeignKey,
    Index,
    IntegerField,
    Manager,
    ManyToManyField,
    OneToOneField,
    Q,
    TextField,
    UniqueConstraint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from syzygy.history import History, UnrenderedState
from syzygy.requirements import operation_rules
from tests.properties import examples
from tests.rules_helpers import APP, AUTHOR, add, history, judged, model, named, post

MODELS = ["Alpha", "Beta", "Gamma", "Delta"]
FIELDS = ["a", "b", "c", "d", "e"]


# --- Like Django's state


class Author:
    """Writes operations that are valid after those that it wrote before."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.state = ProjectState()
        self.count = 0

    def draw(self, values: Any) -> Any:
        return self.data.draw(st.sampled_from(values))

    @property
    def names(self) -> list[str]:
        return sorted(state.name for state in self.state.models.values())

    def options(self, name: str, option: str) -> Any:
        return self.state.models[APP, name.lower()].options.get(option) or []

    def fields(self, name: str, plain: bool = False) -> list[str]:
        """The fields of a model, apart from its id."""
        fields = self.state.models[APP, name.lower()].fields
        return [
            field_name
            for field_name, field in fields.items()
            if field_name in FIELDS and not (plain and field.is_relation)
        ]

    def targets(self, name: str) -> list[str]:
        """The fields of a model that a foreign key may refer to."""
        fields = self.state.models[APP, name.lower()].fields
        return [each for each in self.fields(name, plain=True) if fields[each].unique]

    def changeable(self, name: str) -> list[str]:
        """The fields of a model that no foreign key refers to by name."""
        taken = {
            to_field
            for each in self.state.models.values()
            for field in each.fields.values()
            for to_field in getattr(field, "to_fields", ())
        }
        return [each for each in self.fields(name) if each not in taken]

    def free_fields(self, name: str) -> list[str]:
        return sorted(set(FIELDS) - set(self.fields(name)))

    def field(self) -> Field[Any, Any]:
        kind = self.draw(["number", "text", "key", "one", "to_field", "many", "join"])
        null = self.data.draw(st.booleans())
        if kind == "number" or not self.names:
            return IntegerField(null=null, default=0, unique=not null)
        if kind == "text":
            return CharField(max_length=self.draw([10, 20]), null=null)
        name = self.draw(self.names)
        to = self.draw([name, f"{APP}.{name}"])
        if kind == "key":
            return ForeignKey(to, CASCADE, null=null)
        if kind == "one":
            return OneToOneField(to, CASCADE, null=null)
        if kind == "to_field" and (targets := self.targets(name)):
            return ForeignKey(to, CASCADE, to_field=self.draw(targets))
        if kind == "join":
            return ManyToManyField(to, through=f"{APP}.{self.draw(self.names)}")
        return ManyToManyField(to)

    def write(self) -> Operation:
        makers = [self.create_model]
        if self.names:
            makers += self.of_models()
        operation = self.data.draw(st.sampled_from(makers))()
        # Operations of the same migration file share no objects with the state.
        copy.deepcopy(operation).state_forwards(APP, self.state)
        return operation

    def create_model(self) -> Operation:
        free = sorted(set(MODELS) - set(self.names))
        if not free:
            return RunSQL("SELECT 1")
        fields: list[tuple[str, Any]] = [("id", BigAutoField(primary_key=True))]
        if self.data.draw(st.booleans()):
            fields = [
                ("pk", CompositePrimaryKey("a", "b")),
                ("a", IntegerField()),
                ("b", IntegerField()),
            ]
        together = self.draw([("a", "b"), ("id", "a")])
        options = {"unique_together": self.draw([[], [together], [list(together)]])}
        return CreateModel(self.draw(free), fields, options)

    def of_models(self) -> list[Any]:
        name = self.draw(self.names)
        self.count += 1
        unique = UniqueConstraint(fields=["a"], name=f"unique_{self.count}")
        index = Index(fields=["a"], name=f"index_{self.count}")
        together = {tuple(self.draw([("a", "b"), ("b", "c"), ("c", "a")]))}
        fields, free = self.fields(name), self.free_fields(name)
        changeable = self.changeable(name)
        makers: list[Any] = [
            lambda: AlterModelTable(name, self.draw(["", "alpha", "beta"]) or None),
            lambda: AlterModelTableComment(name, "Any."),
            lambda: AlterModelOptions(
                name, self.draw_options([{}, {"managed": False}, {"ordering": ["a"]}])
            ),
            lambda: AlterModelManagers(name, [("objects", Manager())]),
            lambda: AlterUniqueTogether(name, together),
            lambda: AlterUniqueTogether(name, set()),
            lambda: AlterIndexTogether(name, together),
            lambda: AlterOrderWithRespectTo(name, self.draw(["", "a"]) or None),
            lambda: AddConstraint(name, unique),
            lambda: AddIndex(name, index),
            lambda: SeparateDatabaseAndState([], [AddConstraint(name, unique)]),
            lambda: SeparateDatabaseAndState([RunSQL("SELECT 1")], []),
            lambda: RunPython(RunPython.noop),
        ]
        if others := sorted(set(MODELS) - set(self.names)):
            makers.append(lambda: RenameModel(name, self.draw(others)))
        if changeable == fields:
            makers.append(lambda: DeleteModel(name))
        if free:
            makers += [self.add_field(name, free)] * 4
        if changeable:
            makers += [
                lambda: RemoveField(name, self.draw(changeable)),
                lambda: AlterField(
                    name,
                    self.draw(changeable),
                    self.field(),
                    self.data.draw(st.booleans()),
                ),
            ] * 2
        if fields and free:
            makers += [
                lambda: RenameField(name, self.draw(fields), self.draw(free))
            ] * 3
        for option, remove in (
            ("constraints", RemoveConstraint),
            ("indexes", RemoveIndex),
        ):
            if objects := self.options(name, option):
                object_name = self.draw([each.name for each in objects])
                makers.append(lambda r=remove, o=object_name: r(name, o))
                if option == "indexes":
                    makers.append(
                        lambda o=object_name: RenameIndex(
                            name, f"renamed_{self.count}", old_name=o
                        )
                    )
                else:
                    changed = UniqueConstraint(fields=["b"], name=object_name)
                    makers.append(
                        lambda o=object_name, c=changed: AlterConstraint(name, o, c)
                    )
        return makers

    def draw_options(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return choices[self.data.draw(st.integers(0, len(choices) - 1))]

    def add_field(self, name: str, free: list[str]) -> Any:
        return lambda: AddField(
            name, self.draw(free), self.field(), self.data.draw(st.booleans())
        )


def content(state: ProjectState) -> dict[Any, Any]:
    """All that there is to know about the models of a state."""
    return {
        key: (
            each.name,
            [(name, field.deconstruct()[1:]) for name, field in each.fields.items()],
            {
                option: set(map(tuple, value)) if "together" in option else value
                for option, value in each.options.items()
                if value
            },
            each.bases,
            [name for name, _ in each.managers],
        )
        for key, each in state.models.items()
    }


def written(operations: list[Operation]) -> list[str]:
    """The operations as they would be written into a file."""
    return [serializer_factory(operation).serialize()[0] for operation in operations]


@settings(max_examples=examples(60))
@given(st.data())
def test_it_has_the_models_that_django_has(data: st.DataObject) -> None:
    author = Author(data)
    state, unrendered = History(), UnrenderedState()
    for _ in range(data.draw(st.integers(1, 25))):
        operation = author.write()
        state.advance(operation, APP)
        operation.state_forwards(APP, unrendered)
        assert content(state) == content(author.state), operation
        assert content(unrendered) == content(author.state), operation


def test_a_state_that_was_rendered_renders_what_is_altered() -> None:
    state = UnrenderedState()
    state.add_model(ModelState(APP, "Post", [("id", BigAutoField(primary_key=True))]))
    state.add_field(APP, "post", "title", CharField(max_length=3), True)
    state.apps.get_model(APP, "Post")
    state.alter_field(APP, "post", "title", CharField(max_length=8), True)
    post = state.apps.get_model(APP, "Post")
    assert post._meta.get_field("title").max_length == 8


@settings(max_examples=examples(60))
@given(st.data())
def test_it_changes_no_operation(data: st.DataObject) -> None:
    author = Author(data)
    operations = [author.write() for _ in range(data.draw(st.integers(1, 25)))]
    before = written(operations)
    state = History()
    for operation in operations:
        operation_rules(operation, APP, state)
        state.advance(operation, APP)
    assert written(operations) == before


@settings(max_examples=examples(60))
@given(st.data())
def test_a_branch_and_what_it_came_from_leave_each_other_alone(
    data: st.DataObject,
) -> None:
    author = Author(data)
    state = History()
    state.origin = "trunk"
    for _ in range(data.draw(st.integers(1, 8))):
        state.advance(author.write(), APP)
    trunk = content(state)
    branch = state.branch()
    branch.origin = "branch"
    for _ in range(data.draw(st.integers(1, 8))):
        branch.advance(author.write(), APP)
    grown = content(branch)
    assert content(state) == trunk
    assert grown == content(author.state)
    for key in trunk:
        state.advance(DeleteModel(key[1]), APP)
    assert content(branch) == grown


# --- What the rules ask


def test_models_and_fields_that_are_not_known() -> None:
    state = history(post(x=IntegerField()))
    assert state.model((APP, "author")) is None
    assert state.field((APP, "author"), "x") is None
    assert state.field((APP, "post"), "y") is None
    assert state.field((APP, "post"), "x") is not None
    assert state.table((APP, "author")) == "blog_author"
    assert state.has_table((APP, "author"))
    assert not state.is_unseen(APP, "author")


def test_the_table_of_a_model() -> None:
    state = history(AUTHOR, model("Post", (), {"db_table": "posts"}))
    assert state.table((APP, "author")) == "blog_author"
    assert state.table((APP, "post")) == "posts"


class Mixin:
    """What a model has among its bases besides models."""


def test_a_proxy_has_the_table_of_the_model_behind_it() -> None:
    state = history(
        model("Post", (), {"db_table": "posts"}),
        model("Draft", ("blog.Post",), {"proxy": True}),
        model("OldDraft", (Mixin, "blog.draft"), {"proxy": True}),
        model("Stranger", (Mixin, "shop.Order"), {"proxy": True}),
        model("Orphan", (Mixin,), {"proxy": True}),
    )
    assert state.table((APP, "draft")) == "posts"
    assert state.table((APP, "olddraft")) == "posts"
    assert state.table((APP, "stranger")) == "shop_order"
    assert state.table((APP, "orphan")) == "blog_orphan"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Author", "author"), ("shop.Author", "author"), ("self", "post")],
)
def test_the_model_that_a_relation_points_at(name: str, expected: str) -> None:
    state = history()
    app_label = "shop" if "." in name else APP
    field = ForeignKey(name, CASCADE)
    assert state.related((APP, "post"), field) == (app_label, expected)


def test_what_a_setting_swaps_out_is_asked_for() -> None:
    asked = []

    def is_swapped(label: str, setting: str) -> bool:
        asked.append((label, setting))
        return label == "blog.user"

    swappable = {"swappable": "AUTH_USER_MODEL"}
    state = history(post(), model("User", (), swappable), is_swapped=is_swapped)
    assert state.has_table((APP, "post"))
    assert not asked
    assert not state.has_table((APP, "user"))
    assert state.has_table((APP, "member"), swappable)
    assert asked == [
        ("blog.user", "AUTH_USER_MODEL"),
        ("blog.member", "AUTH_USER_MODEL"),
    ]
    assert not state.branch().has_table((APP, "user"))


# --- Where things come from


def advanced(state: History, origin: object, *operations: Operation) -> History:
    state.origin = origin
    for operation in operations:
        state.advance(operation, APP)
    return state


def unseen(state: History, *key: str) -> bool:
    return state.is_unseen(APP, *key)


def test_what_was_created_is_unseen_as_long_as_its_origin_is() -> None:
    state = advanced(History(), None, AUTHOR)
    advanced(state, "one", post(x=IntegerField()), add("y", IntegerField(), "author"))
    advanced(state, "two", add("z", IntegerField(), "author"))
    assert not unseen(state, "post")
    state.unseen = {"one"}
    assert unseen(state, "post")
    assert unseen(state, "author", "y")
    assert not unseen(state, "author", "z")
    assert not unseen(state, "author")
    state.unseen = ("one", "two")
    assert unseen(state, "author", "z")
    assert unseen(state.branch(), "author", "z")
    state.forget_origins()
    assert not unseen(state, "post")


def test_what_the_release_knows_once_origins_are_forgotten_is_what_there_is() -> None:
    state = advanced(History(), None, post(x=IntegerField()))
    state.unseen = ("one",)
    advanced(state, "one", AlterField("post", "x", TextField()), add("z", TextField()))
    assert isinstance(state.released_field((APP, "post"), "x"), IntegerField)
    state.forget_origins()
    assert isinstance(state.released_field((APP, "post"), "x"), TextField)
    assert isinstance(state.released_field((APP, "post"), "z"), TextField)


def test_what_is_created_anew_has_the_origin_of_the_second_time() -> None:
    state = advanced(History(), "one", post(), add("x", IntegerField()))
    state.unseen = ("one",)
    advanced(state, "two", RemoveField("post", "x"), add("x", IntegerField()))
    assert not unseen(state, "post", "x")
    advanced(state, None, DeleteModel("post"), post())
    assert not unseen(state, "post")


def test_an_origin_follows_a_new_name() -> None:
    state = advanced(History(), "one", post(), add("x", IntegerField()))
    state.unseen = ("one",)
    advanced(state, "two", RenameModel("Post", "Essay"), RenameField("essay", "x", "y"))
    assert unseen(state, "essay")
    assert unseen(state, "essay", "y")
    assert not unseen(state, "post")
    assert not unseen(state, "essay", "x")


def test_a_name_that_was_new_is_not_when_something_older_takes_it() -> None:
    state = advanced(History(), None, post(x=IntegerField()))
    state.unseen = ("one",)
    advanced(
        state,
        "one",
        add("y", IntegerField()),
        RemoveField("post", "y"),
        RenameField("post", "x", "y"),
    )
    assert not unseen(state, "post", "y")
    advanced(
        state,
        "one",
        model("Essay"),
        DeleteModel("Essay"),
        RenameModel("Post", "Essay"),
    )
    assert not unseen(state, "essay")


def test_a_branch_creates_for_itself() -> None:
    state = advanced(History(), "one", post())
    state.unseen = ("one",)
    branch = advanced(state.branch(), "one", AUTHOR)
    assert unseen(branch, "author")
    assert not unseen(state, "author")


# --- References by name


def test_a_foreign_key_follows_the_name_of_its_target_field() -> None:
    key: Any = ForeignKey("blog.Author", CASCADE, to_field="slug")
    state = history(AUTHOR, post(author=key), RenameField("author", "slug", "code"))
    changed: Any = state.field((APP, "post"), "author")
    assert list(changed.to_fields) == ["code"]
    assert changed.remote_field.field_name == "code"
    assert list(key.to_fields) == ["slug"]
    assert key.remote_field.field_name == "slug"


def test_a_composite_primary_key_follows_the_names_of_its_fields() -> None:
    key: Any = CompositePrimaryKey("a", "b")
    before = [
        model("Post", a=IntegerField(), b=IntegerField(), pk=key),
        RenameField("post", "b", "c"),
    ]
    same = AlterField("post", "pk", CompositePrimaryKey("a", "c", blank=True))
    assert judged(same, *before) == {"state-only"}
    assert key.field_names == ("a", "b")


def test_a_composite_primary_key_names_a_field_twice_by_now() -> None:
    """A key like that couldn't be made anew."""
    before = model(
        "Post", a=IntegerField(), b=IntegerField(), pk=CompositePrimaryKey("a", "b")
    )
    renames = RenameField("post", "a", "b"), RenameField("post", "b", "c")
    state = history(before, RemoveField("post", "b"), *renames)
    key: Any = state.field((APP, "post"), "pk")
    assert key.field_names == ("c", "c")


# --- Histories that don't begin at the beginning


def codes(operation: Operation, *before: Operation, origin: object = None) -> set[str]:
    """The rules for an operation, where the models that it is about aren't known."""
    state = advanced(History(), origin, *before)
    state.unseen = (origin,)
    return {rule.code for rule in operation_rules(operation, APP, state)}


def test_a_field_of_a_model_that_is_not_known() -> None:
    nullable = IntegerField(null=True)
    before = [add("x", nullable)]
    change = AlterField("post", "x", IntegerField())
    remove = RemoveField("post", "x")
    assert codes(change, *before) == {"set-not-null"}
    assert codes(AlterField("post", "x", nullable), *before, change) == {
        "drop-not-null"
    }
    assert codes(remove, *before) == {"remove-field"}
    assert codes(remove, *before, change) == {"remove-field-not-null"}
    assert codes(remove, *before, origin="one") == {"unseen"}


@pytest.mark.parametrize(
    "change", [RemoveField("post", "x"), RenameField("post", "x", "y")], ids=named
)
def test_such_a_field_is_not_known_by_a_name_that_it_had(change: Operation) -> None:
    before = [add("x", IntegerField(null=True)), change, RenameField("post", "z", "x")]
    unknown = AlterField("post", "x", IntegerField())
    assert codes(unknown, *before) == {"alter-unknown"}
    assert codes(RemoveField("post", "x"), *before, origin="one") == {"remove-field"}


def test_such_a_field_is_known_by_its_new_name() -> None:
    before = [add("x", IntegerField(null=True)), RenameField("post", "x", "y")]
    assert codes(AlterField("post", "y", IntegerField()), *before) == {"set-not-null"}
    assert codes(RemoveField("post", "y"), *before, origin="one") == {"unseen"}


def test_such_a_field_is_known_to_a_branch_alone() -> None:
    state = advanced(History(), None, add("x", IntegerField()))
    branch = advanced(state.branch(), None, add("y", IntegerField()))
    assert branch.field((APP, "post"), "x") is not None
    assert branch.field((APP, "post"), "y") is not None
    assert state.field((APP, "post"), "y") is None


# --- Operations that go wrong


@pytest.mark.parametrize(
    "operation",
    [
        DeleteModel("Author"),
        RenameModel("Author", "Writer"),
        RemoveField("post", "y"),
        RemoveField("author", "x"),
        RenameField("post", "y", "z"),
        RenameField("author", "x", "y"),
        AlterModelTable("author", "authors"),
        AlterUniqueTogether("author", {("x", "y")}),
        AddIndex("author", Index(fields=["x"], name="i")),
        AddConstraint("author", CheckConstraint(condition=Q(x=1), name="c")),
        RemoveConstraint("author", "c"),
    ],
    ids=named,
)
def test_what_is_about_the_unknown_changes_nothing(operation: Operation) -> None:
    state = history(post(x=IntegerField()))
    before = content(state)
    state.advance(operation, APP)
    assert content(state) == before


def test_it_is_never_rendered() -> None:
    state = history(post())
    with pytest.raises(RuntimeError, match="isn't rendered"):
        state.apps  # noqa: B018
    rendered = []

    class Rendering(Operation):
        def state_forwards(self, app_label: str, state: ProjectState) -> None:
            rendered.append(state.apps)

    state.advance(Rendering(), APP)
    assert not rendered


def test_an_interrupt_is_not_suppressed() -> None:
    class Interrupted(Operation):
        def state_forwards(self, app_label: str, state: ProjectState) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        History().advance(Interrupted(), APP)


def test_relations_that_an_operation_asks_for_do_no_harm() -> None:
    class Curious(Operation):
        def state_forwards(self, app_label: str, state: ProjectState) -> None:
            assert state.relations is not None

    operations = [
        AUTHOR,
        post(author=ForeignKey("blog.Author", CASCADE)),
        Curious(),
        RenameField("post", "author", "writer"),
        AlterField("post", "writer", ForeignKey("blog.Author", CASCADE, null=True)),
        SeparateDatabaseAndState(
            state_operations=[
                RemoveField("post", "writer"),
                add("year", IntegerField()),
            ]
        ),
    ]
    state = History()
    for operation in operations:
        state.advance(operation, APP)
    assert list(state.models[APP, "post"].fields) == ["id", "year"]


# --- Cost


class Counted(dict[tuple[str, str], ModelState]):
    """Models that count how many of them are looked at."""

    looks = 0

    def __getitem__(self, key: tuple[str, str]) -> ModelState:
        self.looks += 1
        return super().__getitem__(key)

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)

    def items(self) -> Any:
        self.looks += len(self)
        return super().items()

    def values(self) -> Any:
        self.looks += len(self)
        return super().values()


def looks(operation: Operation, *before: Operation) -> int:
    """How many models judging and applying an operation looks at."""
    state = history(*before)
    models = Counted(state.models)
    state.models = models
    operation_rules(operation, APP, state)
    state.advance(operation, APP)
    return models.looks


SMALL = [AUTHOR, post(x=IntegerField(), author=ForeignKey("blog.Author", CASCADE))]
LARGE = [*SMALL, *(model(f"Other{number}") for number in range(20))]

CHEAP: list[Operation] = [
    model("Essay"),
    DeleteModel("Post"),
    AlterModelTable("Post", "posts"),
    AlterModelTableComment("Post", "Any."),
    AlterModelOptions("post", {"ordering": ["x"]}),
    AlterModelManagers("post", []),
    AlterOrderWithRespectTo("post", "author"),
    AlterUniqueTogether("post", {("x", "author")}),
    AlterIndexTogether("post", {("x", "author")}),
    add("y", IntegerField()),
    add("y", ForeignKey("blog.Author", CASCADE)),
    add("y", ManyToManyField("blog.Author")),
    RemoveField("post", "x"),
    RemoveField("post", "author"),
    AlterField("post", "x", CharField(max_length=10)),
    AlterField("post", "author", ForeignKey("blog.Author", CASCADE, null=True)),
    RenameField("post", "x", "y"),
    RenameField("post", "author", "y"),
    AddIndex("post", Index(fields=["x"], name="i")),
    AddConstraint("post", UniqueConstraint(fields=["x"], name="u")),
    RunPython(RunPython.noop),
    RunSQL("SELECT 1"),
    SeparateDatabaseAndState([RunSQL("SELECT 1")], [RemoveField("post", "x")]),
    SeparateDatabaseAndState([RunSQL("SELECT 1"), RunSQL("SELECT 2")], []),
    SeparateDatabaseAndState([RemoveField("post", "x"), RunSQL("SELECT 2")], []),
]


@pytest.mark.parametrize("operation", CHEAP, ids=named)
def test_an_operation_costs_the_same_in_a_large_project(operation: Operation) -> None:
    assert looks(operation, *SMALL) == looks(operation, *LARGE)


def test_renaming_a_model_looks_for_what_refers_to_it() -> None:
    """As Django does; it is rare, and no name can be told without."""
    rename = RenameModel("Post", "Essay")
    assert looks(rename, *SMALL) < looks(rename, *LARGE)
