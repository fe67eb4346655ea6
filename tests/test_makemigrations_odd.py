"""What is written, or refused, where changes meet that seldom do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations import (
    AddIndex,
    AlterOrderWithRespectTo,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
)
from django.db.migrations.autodetector import (
    MigrationAutodetector as DjangoAutodetector,
)
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState
from django.db.models import CASCADE

from syzygy import Stage
from syzygy.autodetector import MigrationAutodetector, unsplit
from syzygy.generation.errors import Refused
from syzygy.generation.settling import planned_stage
from syzygy.generation.states import copied
from syzygy.operations import RelaxField
from tests.cases.test_makemigrations_rolling import (
    AUTHOR,
    child,
    many,
    number,
    text,
    to,
    unique,
)
from tests.generation_helpers import (
    Asked,
    applied,
    drift,
    existing,
    generated,
    refused,
    run,
    state,
    table,
    undo,
)
from tests.test_window import Answering, check, post

PROXY, BASES = {"proxy": True}, ("blog.post",)

# Models that become managed, or cease to be

UNMANAGED = {"managed": False}


@pytest.mark.parametrize(
    ("before", "after", "state_alone", "alone"),
    [
        (
            {},
            {"a": to("author")},
            "        field=models.ForeignKey(on_delete=models.CASCADE, ",
            "again for the changes.",
        ),
        (
            {"a": text()},
            {},
            "migrations.RemoveField(",
            "again for the changes:\n    a = models.CharField(max_length=30)",
        ),
        (
            {"a": text()},
            {"a": text(null=True)},
            "migrations.AlterField(",
            "again for the changes:\n    a = models.CharField(max_length=30)",
        ),
        ({}, {"a": many("author")}, "migrations.AddField(", "again for the changes."),
    ],
)
def test_a_model_that_becomes_managed_and_changes(
    before: Any, after: Any, state_alone: str, alone: str
) -> None:
    old, new = [AUTHOR, post(UNMANAGED, **before)], [AUTHOR, post(**after)]
    message = refused(old, new)
    assert message.startswith('Having migrations manage "blog.Post" and changing it')
    assert "makemigrations --empty blog" in message
    assert state_alone in message
    assert message.endswith(alone)
    # Nobody is told of anything else, and the first way out leads to no refusal.
    assert "\n\n" not in message
    check([AUTHOR, post(UNMANAGED, **after)], new, ["pre alter_post_options"])


def test_a_model_that_is_managed_no_more_and_changes() -> None:
    before = [post(a=text(), c=text())]
    message = refused(before, [post(UNMANAGED, b=text(), c=text(null=True))])
    assert message == (
        'Making "blog.Post" unmanaged and changing it at once is unsafe: no migration '
        "would change its table.\n"
        "Leave it managed for now, and make it unmanaged in a later release.\n"
        "Or make it unmanaged alone for now, as it was, and change its table by hand "
        "before the model:\n"
        "    a = models.CharField(max_length=30)\n"
        "    c = models.CharField(max_length=30)"
    )
    check(before, [post(UNMANAGED, a=text(), c=text())], ["pre alter_post_options"])


def test_what_else_is_refused_is_told_of_as_well() -> None:
    message = refused(
        [post(a=text()), table("Other", UNMANAGED)],
        [post(a=number()), table("Other", a=text(null=True))],
    )
    assert 'manage "blog.Other"' in message
    assert 'Altering the field "a" of "blog.Post"' in message


def test_options_of_a_model_that_becomes_managed_change() -> None:
    index = {"indexes": [models.Index(fields=["title"], name="title")]}
    assert "migrations.AddIndex(" in refused([post(UNMANAGED)], [post(index)])


def test_a_model_becomes_managed_and_nothing_happens_to_its_table() -> None:
    """Django finds the help text by another run."""
    check(
        [post(UNMANAGED, a=text())],
        [post(a=text(help_text="A"))],
        ["pre alter_post_options_alter_post_a"],
    )
    check(
        [post(a=text())],
        [post(UNMANAGED, a=text(help_text="A"))],
        ["pre alter_post_options"],
    )


# Somebody insists


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (post(), table("Article", {"db_table": "blog_post"}, title=text())),
        (post(b=many("author")), post(c=many("author", db_table="blog_post_b"))),
        (post(UNMANAGED, b=text()), post(b=text(help_text="B"))),
    ],
)
def test_what_is_harmless_stays_so_though_somebody_insists(
    before: Any, after: Any
) -> None:
    old = state([AUTHOR, before, table("Other", a=text())])
    new = state([AUTHOR, after, table("Other", a=number())])
    (migration,) = generated(old, new, Answering(3))
    assert not drift(applied(old, [migration]), new)


# Tables that change hands

LINK = {"post": to("post"), "author": to("author")}
TAKEN: list[Any] = [
    (
        "join tables",
        [post(a=many("author")), table("Other")],
        [post(), table("Other", b=many("author", db_table="blog_post_a"))],
        'Having "blog.Other.b" take the table "blog_post_a" of "blog.Post.a"',
        "    b = models.ManyToManyField(related_name='+', to='blog.author')",
    ),
    (
        "a model that comes",
        [post(a=many("author"))],
        [
            post(b=many("author", through="blog.Link")),
            table("Link", {"db_table": "blog_post_a"}, **LINK),
        ],
        'Having "blog.Link" take the table "blog_post_a" of "blog.Post.a"',
        '        db_table = "blog_link"',
    ),
    (
        "a model that goes",
        [post(b=many("author", through="blog.Link")), table("Link", **LINK)],
        [post(a=many("author", db_table="blog_link"))],
        'Having "blog.Post.a" take the table "blog_link" of "blog.Link"',
        '"blog.Link" and its table are gone',
    ),
    (
        "a model that goes with its join table",
        [post(a=many("author"))],
        [table("Other", b=many("author", db_table="blog_post_a"))],
        'Having "blog.Other.b" take the table "blog_post_a" of "blog.Post.a"',
        "in a later release",
    ),
    (
        "an unmanaged model that comes",
        [post(a=many("author"))],
        [post(), table("Link", {**UNMANAGED, "db_table": "blog_post_a"}, **LINK)],
        'Having "blog.Link" take the table "blog_post_a" of "blog.Post.a"',
        "SeparateDatabaseAndState",
    ),
    (
        "an unmanaged model that goes",
        [post(), table("Old", {**UNMANAGED, "db_table": "legacy"}, a=text())],
        [post(), table("New", {"db_table": "legacy"}, a=text())],
        'Having "blog.New" take the table "legacy" of "blog.Old"',
        "SeparateDatabaseAndState",
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "problem", "way"),
    [pytest.param(*each[1:], id=each[0]) for each in TAKEN],
)
def test_a_table_that_changes_hands(
    before: Any, after: Any, problem: str, way: str
) -> None:
    message = refused([AUTHOR, *before], [AUTHOR, *after])
    assert message.startswith(f"{problem} is unsafe")
    assert way in message
    assert "\n\n" not in message


def test_a_table_of_an_app_of_which_nothing_is_written() -> None:
    old = state([AUTHOR, post()])
    table("Other", a=many("author")).state_forwards("shop", old)
    new = state([AUTHOR, post(a=many("author", db_table="shop_other_a"))])
    table("Other").state_forwards("shop", new)
    detector = MigrationAutodetector(old, new, Asked())
    with pytest.raises(Refused, match=r'table "shop_other_a" of "shop\.Other\.a"'):
        detector.changes(existing("blog", "shop"), {"blog"})


def test_tables_of_one_name_in_two_databases() -> None:
    """Django has but a warning for them where there are routers (fields.W344)."""
    tags = many("author", db_table="tags")
    old, new = state([AUTHOR, post()]), state([AUTHOR, post(a=tags)])
    for each in (old, new):
        table("Other", a=tags).state_forwards("shop", each)
    assert [str(each) for each in generated(old, new)] == ["blog.0002_post_a"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # It has had the same name all along.
        (
            [post(), table("Link", {**UNMANAGED, "db_table": "blog_post_a"})],
            [
                post(a=many("author")),
                table("Link", {**UNMANAGED, "db_table": "blog_post_a"}),
            ],
        ),
        # No migration has anything to do with it.
        (
            [post(), table("Old", {**UNMANAGED, "db_table": "legacy"})],
            [post(), table("New", {**UNMANAGED, "db_table": "legacy"})],
        ),
        # What keeps it is what it was.
        ([post()], [table("Article", {"db_table": "blog_post"}, title=text())]),
    ],
)
def test_a_table_that_does_not(before: Any, after: Any) -> None:
    assert not refused([AUTHOR, *before], [AUTHOR, *after])


# What Django finds no order for


def circle(options: dict[str, Any]) -> tuple[ProjectState, ProjectState]:
    """A model becomes a proxy of one that refers to it before and after."""

    def tag(**more: Any) -> Any:
        return models.ForeignKey("shop.tag", CASCADE, related_name="+", **more)

    old = state([post({**options, "unique_together": {("title", "a")}}, a=tag())])
    table("Tag").state_forwards("shop", old)
    new = state([post(b=tag(null=True))])
    CreateModel("Tag", [], {"proxy": True}, ("blog.post",)).state_forwards("shop", new)
    return old, new


def test_apps_whose_changes_wait_for_each_other() -> None:
    with pytest.raises(Refused) as caught:
        generated(*circle({}))
    first, second = str(caught.value).splitlines()
    assert first.startswith("These changes can't be put into an order, as each of them")
    told = re.findall('"([^"]*)" of "(?:blog|shop)"', first)
    assert {"Create proxy model Tag", "Delete model Tag"} <= {*told}
    assert "Remove field a from post" in told
    assert second.startswith("Take some of them back for now, run")


def test_changes_of_an_app_that_wait_for_each_other() -> None:
    before = [AUTHOR, table("Tag"), post(a=to("tag"))]
    order = {"order_with_respect_to": "b"}
    proxy = CreateModel("Tag", [], {"proxy": True}, ("blog.author",))
    after = [AUTHOR, proxy, post(order, b=to("tag", null=True))]
    message = refused(before, after)
    first, *_, last = re.findall('"([^"]*)" of "blog"', message)
    assert (first, last) == ("Delete model Tag", "Create proxy model Tag")


def test_changes_without_an_order_where_nothing_is_split() -> None:
    old, new = circle({})
    detector = MigrationAutodetector(copied(old), copied(new), Asked())
    with unsplit(), pytest.raises(Refused, match="can't be put into an order"):
        detector.changes(existing("blog", "shop"))
    detector = MigrationAutodetector(old, new, Asked())
    with unsplit(only_asked=True):
        assert detector.changes(existing("blog", "shop")) == {"blog": [], "shop": []}


def test_other_errors_of_a_detection_stay_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any) -> None:
        raise ValueError("Other")

    monkeypatch.setattr(DjangoAutodetector, "_sort_migrations", fail)
    with pytest.raises(ValueError, match="Other"):
        generated(state([]), state([post()]))
    detector = MigrationAutodetector(state([]), state([post()]), Asked())
    with unsplit(only_asked=True), pytest.raises(ValueError, match="Other"):
        detector.changes(existing())


def test_what_would_happen_to_unmanaged_models_has_no_order() -> None:
    """Were they managed; the others are refused all the same."""
    with pytest.raises(Refused) as caught:
        generated(*circle(UNMANAGED))
    first, second = str(caught.value).split("\n\n")
    assert first.startswith("These changes can't be put into an order")
    assert second.startswith('Making another model of "shop.Tag"')


# What refers to what is renamed


def of_apps(author: Any, app: str, *models: Any) -> ProjectState:
    result = state([author])
    for each in models:
        each.state_forwards(app, result)
    return result


def operations(migrations: Iterable[Migration]) -> list[Any]:
    return [each for own in migrations for each in own.operations]


WRITER = table("Writer", {"db_table": "blog_author"}, name=text())


# Django takes the apps in that order, and looks at no more than the first one needs.
@pytest.mark.parametrize("app", ["apple", "blog", "zoo"])
def test_what_refers_to_a_renamed_model(app: str) -> None:
    """Django has it refer to the old name when that is gone, or to the new one before.

    What relaxes it goes before that, and so is undone last: to take the name back,
    SQLite makes the table anew with NOT NULL.
    """
    gone = {"a": to("author"), "b": to("author")}
    before = of_apps(
        AUTHOR, app, table("Post", **gone, c=to("author", null=True), d=number())
    )
    after = of_apps(
        WRITER,
        app,
        table(
            "Post",
            b=to("writer", null=True),
            c=to("writer", null=True, db_index=False),
            d=number(null=True),
            e=to("writer", null=True),
        ),
        table("New", a=to("writer")),
        CreateModel("Child", [WRITER_LINK], bases=("blog.writer",)),
    )
    migrations = generated(before, after)
    assert not drift(applied(before, migrations), after)
    # Each of them finds what it refers to.
    now = copied(before)
    for migration in migrations:
        for operation in migration.operations:
            operation.state_forwards(migration.app_label, now)
            assert list(now.apps.get_models())
    first = [
        each
        for each in operations(migrations)
        if isinstance(each, RelaxField | RenameModel)
    ]
    assert [type(each) for each in first] == [RelaxField] * 3 + [RenameModel]


WRITER_LINK = (
    "writer_ptr",
    models.OneToOneField(
        "blog.writer", CASCADE, parent_link=True, primary_key=True, serialize=False
    ),
)


@pytest.mark.parametrize("app", ["apple", "blog", "zoo"])
def test_what_refers_to_a_renamed_field(app: str) -> None:
    def post(name: str, **options: Any) -> Any:
        return table("Post", a=to("author", to_field=name, **options))

    before = of_apps(table("Author", name=text(unique=True)), app, post("name"))
    title = text(unique=True, db_column="name")
    author = table("Author", title=title)
    for after in (post("title", null=True), table("Post")):
        migrations = generated(before, of_apps(author, app, after))
        kinds = [type(each) for each in operations(migrations)]
        place = kinds.index(RelaxField)
        assert place < kinds.index(RenameField)
        # Whatever comes of the state meanwhile.
        relaxing = operations(migrations)[place]
        assert relaxing.field.remote_field.field_name == "name"
    (migration, *_) = generated(
        before, of_apps(author, app, post("title", db_index=False))
    )[-1:]
    altering = operations([migration])[-1]
    assert altering.field.remote_field.field_name == "title"


def test_a_model_and_what_refers_to_it_are_renamed_at_once() -> None:
    check(
        [AUTHOR, post(a=to("author"))],
        [WRITER, post(b=to("writer", db_column="a_id"))],
        ["pre alter_author_table_rename_author_writer_alter_post_a_and_more"],
    )


def test_a_model_that_orders_another_is_renamed_with_the_field_to_it() -> None:
    before = [AUTHOR, post({"order_with_respect_to": "a"}, a=to("author"))]
    b = to("writer", db_column="a_id")
    [migration] = generated(
        state(before), state([WRITER, post({"order_with_respect_to": "b"}, b=b)])
    )
    names = [type(each).__name__ for each in migration.operations]
    assert names == [
        "AlterModelTable",
        "RenameModel",
        "AlterField",
        "SeparateDatabaseAndState",
    ]


@pytest.mark.parametrize("app", ["apple", "blog", "zoo"])
def test_what_refers_to_a_renamed_model_waits_with_its_model(app: str) -> None:
    """Django would move what needs nothing before the field has its new name."""

    def models_with(author: Any, options: Any, **fields: Any) -> ProjectState:
        return of_apps(author, app, table("Book", options, **fields))

    new = models_with(
        WRITER,
        {"constraints": [unique("b", name="u")], "unique_together": {("b", "n")}},
        b=to("writer", db_column="a_id"),
        n=number(null=True),
    )
    old = models_with(
        AUTHOR, {"constraints": [unique("a", name="u")]}, a=to("author"), n=number()
    )
    migrations = generated(old, new)
    assert not drift(applied(old, migrations), new)
    renames = [each for each in operations(migrations) if hasattr(each, "old_name")]
    assert [type(each) for each in renames] == [RenameModel, RenameField]


def test_a_model_that_others_inherit_from_is_renamed() -> None:
    """Django would leave their bases as they are, and fail."""
    article = table("Article", {"db_table": "blog_post"}, title=text())
    for heir, later in (
        (CreateModel("Short", [], PROXY, BASES), ("blog.article",)),
        (child("Note", a=number()), ("blog.article",)),
    ):
        fields = [(name, each.clone()) for name, each in heir.fields]
        for _, each in fields:
            if each.remote_field:
                each.remote_field.model = later[0]
        renamed = CreateModel(heir.name, fields, heir.options, later)
        assert refused([post(), heir], [article, renamed]) == (
            'Renaming the model "blog.Post" to "Article" could not be applied: Django '
            f'doesn\'t rename it in the bases of "blog.{heir.name}".\n'
            "Keep the name of the model, and give it the other one besides:\n"
            "    class Post(models.Model): ...\n    Article = Post"
        )


@pytest.mark.parametrize("other", [{}, {"c": text(default="c")}])
def test_the_order_with_respect_to_a_renamed_field(other: dict[str, Any]) -> None:
    """Django gets stuck between the two operations."""
    before = state([AUTHOR, post({"order_with_respect_to": "a"}, a=to("author"))])
    b = to("author", db_column="a_id")
    after = state([AUTHOR, post({"order_with_respect_to": "b"}, b=b, **other)])
    migrations = generated(before, after)
    now = copied(before)
    for migration in migrations:
        for operation in migration.operations:
            operation.state_forwards("blog", now)
            assert now.apps.get_model("blog", "post")._meta.order_with_respect_to
    assert not drift(now, after)
    assert planned_stage(migrations[0]) is Stage.PRE_DEPLOY


@pytest.mark.parametrize(
    "after",
    [
        [table("Note", b=to("post", null=True))],
        [CreateModel("New", [], PROXY, BASES), table("Note", b=to("new", null=True))],
    ],
)
def test_what_refers_to_a_proxy_that_goes(after: Any) -> None:
    """It is the same table all the time."""
    note = table("Note", a=to("old"), b=to("old"))
    before = [post(), CreateModel("Old", [], PROXY, BASES), note]
    old, new = state(before), state([post(), *after])
    migrations = generated(old, new)
    assert not drift(applied(old, migrations), new)
    assert {planned_stage(each) for each in migrations} == {*Stage}


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        # By its new name, Django would look for the model that a field goes from.
        ({"name": text()}, {"title": text()}, 'field "name" of "blog.Writer"'),
        (
            {"posts": many("post", db_table="joins")},
            {"posts": many("other", db_table="joins")},
            'field "posts" of "blog.Writer"',
        ),
    ],
)
def test_a_field_of_a_renamed_model_goes(before: Any, after: Any, problem: str) -> None:
    others = [post(), table("Other")]
    writer = table("Writer", {"db_table": "blog_author"}, **after)
    old, new = [*others, table("Author", **before)], [*others, writer]
    assert problem in refused(old, new)
    with unsplit():
        plain = generated(state(old), state(new))
    assert not drift(applied(state(old), plain), state(new))


def test_a_field_is_renamed_in_a_unique_set_beside_one_that_is_relaxed() -> None:
    """Django would drop the set before that, and add it afterwards."""
    for kept in ((), ("c", "n")):
        sets = {kept} - {()}
        old = state(
            [
                AUTHOR,
                post(
                    {"unique_together": {("n", "a"), *sets}},
                    n=number(),
                    c=number(),
                    a=to("author"),
                ),
            ]
        )
        for gone in (set(), sets):
            new = state(
                [
                    AUTHOR,
                    post(
                        {"unique_together": {("n", "b"), *(sets - gone)}},
                        n=number(null=True),
                        c=number(),
                        b=to("author", db_column="a_id"),
                    ),
                ]
            )
            [migration] = generated(old, new)
            assert planned_stage(migration) is Stage.PRE_DEPLOY
            altered = [
                each.unique_together
                for each in migration.operations
                if isinstance(each, AlterUniqueTogether)
            ]
            assert altered
            assert all(each and ("n", "b") in each for each in altered)
            assert not drift(applied(old, [migration]), new)


@pytest.mark.parametrize("app", ["apple", "blog", "zoo"])
@pytest.mark.parametrize("is_own", [True, False])
def test_what_has_renamed_fields_waits_as_one_for_what_refers_to_it(
    app: str, is_own: bool
) -> None:
    """That is relaxed before the fields get their names; nothing may overtake these."""

    def change(name: str, pinned: Any, **relaxed: Any) -> ProjectState:
        meta = {
            "unique_together": {(name, "n")},
            "indexes": [models.Index(fields=[name], name="ix")],
            "constraints": [unique(name, name="u")],
        }
        own = {"c": to("post", **relaxed)} if is_own else {}
        main = post(meta, n=number(), **{name: number(**pinned)}, **own)
        return of_apps(main, app, table("Other", p=to("post", **relaxed)))

    old, new = change("a", {}), change("b", {"db_column": "a"}, null=True)
    migrations = generated(old, new)
    assert not drift(applied(old, migrations), new)
    assert {planned_stage(each) for each in migrations} == {Stage.PRE_DEPLOY}
    kinds = {type(each) for each in operations(migrations)}
    assert RenameField in kinds
    assert not kinds & {AddIndex, RemoveIndex}


def test_the_order_with_respect_to_a_renamed_field_goes() -> None:
    before = state([AUTHOR, post({"order_with_respect_to": "a"}, a=to("author"))])
    after = state([AUTHOR, post(b=to("author", db_column="a_id"))])
    migrations = generated(before, after)
    now = copied(before)
    for operation in operations(migrations):
        operation.state_forwards("blog", now)
        assert list(copied(now).apps.get_models())
    assert not drift(now, after)
    assert [planned_stage(each) for each in migrations] == [*Stage]


def test_the_order_is_with_respect_to_another_field_than_the_renamed_one() -> None:
    before = state(
        [
            AUTHOR,
            post({"order_with_respect_to": "a"}, a=to("author"), c=to("author")),
        ]
    )
    b = to("author", db_column="a_id")
    after = state([AUTHOR, post({"order_with_respect_to": "c"}, b=b, c=to("author"))])
    changed = in_steps(before, after)
    assert isinstance(changed[-1], AlterOrderWithRespectTo)


def test_a_model_goes_whole_with_a_proxy_that_it_refers_to() -> None:
    """The proxy goes last, so that nothing has to be taken apart."""
    book = table("Book", a=to("author"), b=to("x"), c=to("author"))
    before = state([AUTHOR, proxy("X", "blog.author"), book])
    kinds = [type(each) for each in in_steps(before, state([AUTHOR]))]
    assert kinds == [*[RelaxField] * 3, DeleteModel, DeleteModel]


@pytest.mark.parametrize("is_proxy", [True, False])
def test_an_ordered_model_goes_after_what_its_order_needs(is_proxy: bool) -> None:
    """That is of another app, so the field to it goes in a migration before."""
    ordered = table("A", {"order_with_respect_to": "f"}, f=fk("shop.x"))
    x = proxy("X", "blog.a") if is_proxy else table("X", f=fk("blog.a"))
    kinds = [type(each) for each in in_steps(of_two_apps([ordered], [x]), state([]))]
    freed = kinds.index(AlterOrderWithRespectTo)
    assert kinds[freed + 1] is RemoveField
    assert kinds.count(DeleteModel) == 2


# What models without a table of their own need


def in_steps(before: ProjectState, after: ProjectState) -> list[Any]:
    """The operations of what is written; each leads to a state that can be rendered."""
    migrations = generated(before, after)
    now = copied(before)
    for migration in migrations:
        for operation in migration.operations:
            operation.state_forwards(migration.app_label, now)
            assert copied(now).apps is not None
    assert not drift(applied(before, migrations), after)
    return operations(migrations)


def proxy(name: str, base: str) -> Any:
    return CreateModel(name, [], PROXY, (base,))


def of_two_apps(blog: Iterable[Any], shop: Iterable[Any]) -> ProjectState:
    result = state([*blog])
    for each in shop:
        each.state_forwards("shop", result)
    return result


def fk(target: str, **options: Any) -> Any:
    return models.ForeignKey(target, CASCADE, related_name="+", **options)


NOTHING: tuple[Any, Any] = ((), ())
A, B = table("A"), table("B")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (([A], [proxy("X", "A")]), NOTHING),
        (([table("A", f=fk("X"))], [proxy("X", "A")]), NOTHING),
        (
            ([table("A", f=fk("X"))], [proxy("X", "A")]),
            ([table("A", f=fk("Y"))], [proxy("Y", "A")]),
        ),
        (
            ([table("A", f=fk("X"), n=number())], [proxy("X", "A")]),
            ([table("A", f=fk("Y"), m=number(db_column="n"))], [proxy("Y", "A")]),
        ),
        (
            ([table("A", f=fk("X"))], [proxy("X", "A"), table("O", f=fk("X"))]),
            ([table("A", f=fk("A"))], []),
        ),
        (([table("A", f=fk("X"))], [proxy("X", "A"), table("O", f=fk("X"))]), NOTHING),
    ],
)
def test_what_needs_a_model_of_another_app_that_goes(
    before: Any, after: Any, turned: bool
) -> None:
    """Django lets a proxy go before what refers to it, and after what it is made of."""

    def placed(apps: Any) -> ProjectState:
        return of_two_apps(
            *(qualified(each, turned) for each in apps[:: 1 - 2 * turned])
        )

    in_steps(placed(before), placed(after))


def qualified(creations: Iterable[Any], turned: bool) -> list[Any]:
    """The operations with "A" of one app and all else of the other."""
    of_a, other = ("shop", "blog") if turned else ("blog", "shop")

    def full(name: str) -> str:
        return f"{of_a if name in 'Aa' else other}.{name.lower()}"

    found = []
    for each in creations:
        fields = [(name, field.clone()) for name, field in each.fields]
        for _, field in fields:
            if field.remote_field:
                field.remote_field.model = full(field.remote_field.model)
        bases = tuple(
            full(base) if isinstance(base, str) else base for base in each.bases
        )
        found.append(CreateModel(each.name, fields, each.options, bases))
    return found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (proxy("X", "blog.a"), proxy("X", "blog.b")),
        (table("X", UNMANAGED, f=fk("blog.a")), table("X", UNMANAGED, f=fk("blog.b"))),
        (table("X", UNMANAGED, f=fk("blog.a")), table("X", UNMANAGED)),
    ],
)
@pytest.mark.parametrize("label", ["blog", "shop"])
def test_what_a_model_that_goes_leaves_behind(
    before: Any, after: Any, label: str
) -> None:
    """Django would leave it as it is, and fail to make models of that."""

    def with_a(*others: Any) -> ProjectState:
        return of_apps(A, label, *others) if label != "blog" else state([A, *others])

    B.state_forwards("blog", old := with_a(before))
    new = state([B])
    after.state_forwards(label, new)
    with pytest.raises(Refused) as caught:
        generated(old, new)
    assert str(caught.value) == (
        f'Deleting the model "blog.A" could not be applied: in migrations, "{label}.X" '
        "would need it still, as Django doesn't write what changes in models without "
        f'tables of their own.\nTake "{label}.X" out of the models as well, run '
        '"makemigrations", put back what you took, and run it again. No table notices '
        "that."
    )
    # And so it is.
    alone = state([B])
    done = [*in_steps(old, alone), *in_steps(alone, new)]
    kinds = {type(each) for each in done}
    assert kinds == {CreateModel, DeleteModel}


@pytest.mark.parametrize("app", ["apple", "zoo"])
def test_another_proxy_takes_the_place_of_one_that_another_app_refers_to(
    app: str,
) -> None:
    """It comes before that is changed, and the old one goes after that."""

    def models_with(name: str, author: Any) -> ProjectState:
        own = table("Book", f=fk(f"blog.{name.lower()}"))
        result = of_apps(author, app, own)
        for each in (post(), proxy(name, "blog.post")):
            each.state_forwards("blog", result)
        return result

    in_steps(models_with("X", AUTHOR), models_with("Y", WRITER))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (of_two_apps([post()], [proxy("X", "blog.post")]), state([])),
        (
            of_two_apps(
                [AUTHOR, proxy("Post", "blog.author")], [table("X", f=fk("blog.post"))]
            ),
            of_two_apps([AUTHOR], [table("X")]),
        ),
    ],
)
def test_what_needs_a_model_that_goes_alone(before: Any, after: Any) -> None:
    """Of the apps that are named on the command line, Django adds those it sees."""
    detector = MigrationAutodetector(copied(before), copied(after), Asked())
    with pytest.raises(Refused) as caught:
        detector.changes(existing("blog", "shop"), {"blog"})
    assert str(caught.value) == (
        'Deleting the model "blog.Post" could not be applied: there are models of '
        '"shop" that need it, until that is written as well.\nHave all of it written:\n'
        "    python manage.py makemigrations blog shop"
    )
    in_steps(before, after)


def test_a_proxy_goes_that_others_inherit_from() -> None:
    """Django doesn't change the bases of what is kept."""

    def heir(parent: str) -> Any:
        link = models.OneToOneField(
            parent, CASCADE, parent_link=True, primary_key=True, serialize=False
        )
        return CreateModel("Heir", [("post_ptr", link)], {}, (parent,))

    message = refused(
        [post(), proxy("X", "blog.post"), heir("blog.x")],
        [post(), proxy("Y", "blog.post"), heir("blog.y")],
    )
    assert message == (
        'Deleting the proxy "blog.X" could not be applied: Django leaves the bases of '
        '"blog.Heir" as they are.\nKeep "blog.X".'
    )


def test_a_model_gets_the_name_of_a_proxy() -> None:
    """To Django, that name is free."""
    before = [post(), proxy("X", "blog.post"), AUTHOR]
    writer = table("X", {"db_table": "blog_author"}, name=text())
    assert refused(before, [post(), writer]) == (
        'Renaming the model "blog.Author" to "X" could not be applied: migrations have '
        'another model of that name by then, "blog.X".\nTake that one out of the '
        'models, or rename it, for now, run "makemigrations", and rename "Author" '
        "after that by another run."
    )
    assert not refused(before, [post(), AUTHOR])
    assert not refused([post(), AUTHOR], [post(), writer])


# What happens at once to what is renamed


def test_a_column_that_is_renamed_with_the_order_beside_a_model() -> None:
    before = [AUTHOR, post({"order_with_respect_to": "a"}, a=to("post"))]
    after = [WRITER, post({"order_with_respect_to": "b"}, b=to("post"))]
    somebody = MigrationQuestioner({"ask_initial": True, "ask_rename": True})
    with pytest.raises(Refused, match="each release uses a column the other lacks"):
        generated(state(before), state(after), somebody)


@pytest.mark.parametrize(
    "options",
    [
        {"constraints": [unique("name", name="u")]},
        {"unique_together": {("name", "id")}},
        {"ordering": ["name"]},
    ],
)
def test_what_happens_to_a_renamed_model_waits_for_its_name(options: Any) -> None:
    """That waits for what refers to the model to be relaxed. Django waits for none."""

    def models_with(author: Any, name: str, **relaxed: Any) -> ProjectState:
        return state([author, post(a=to(name, **relaxed))])

    old = models_with(table("Author", options, name=text()), "author")
    changed = in_steps(old, models_with(WRITER, "writer", null=True))
    kinds = [type(each) for each in changed]
    assert kinds.index(RelaxField) < kinds.index(RenameModel) < len(kinds) - 1


def test_what_follows_renamed_fields_while_another_app_is_waited_for() -> None:
    """Django cuts the operations of an app there, and would drop it meanwhile."""
    for app in ("apple", "zoo"):

        def models_with(
            name: str, author: str, app: str = app, **fields: Any
        ) -> ProjectState:
            options = {
                "unique_together": {(name, "n")},
                "constraints": [unique(name, name="u")],
                "order_with_respect_to": name,
            }
            own = table("Book", options, n=number(), **fields)
            other = table(author, {"db_table": "blog_author"}, name=text())
            return of_apps(other, app, own)

        old = models_with("a", "Author", a=fk(f"{app}.book"))
        new = models_with(
            "b",
            "Writer",
            b=fk(f"{app}.book", db_column="a_id"),
            c=to("writer", null=True),
        )
        changed = in_steps(old, new)
        altered = [each for each in changed if isinstance(each, AlterUniqueTogether)]
        assert [each.unique_together for each in altered] == [{("b", "n")}]
        assert not [each for each in changed if isinstance(each, RemoveConstraint)]


@pytest.mark.django_db(transaction=True)
def test_constraints_follow_the_fields_of_their_own_model() -> None:
    """Before the table is made anew, which SQLite does to add a field."""
    before = [
        AUTHOR,
        table("Tag", n=number()),
        table("Other", t=to("tag")),
        post({"constraints": [unique("a", name="u")]}, a=number()),
    ]
    after = [
        AUTHOR,
        table("Tag", m=number(db_column="n")),
        table("Other", t=to("tag", null=True)),
        post(
            {"constraints": [unique("b", name="u")]},
            b=number(db_column="a"),
            c=to("author", null=True),
        ),
    ]
    start = generated(state([]), state(before))
    first = run(state([]), start)
    try:
        migrations = generated(first, state(after))
        run(first, migrations)
        undo(first, migrations)
    finally:
        undo(state([]), start)


@pytest.mark.django_db(transaction=True)
def test_a_field_is_renamed_that_a_relaxed_one_names() -> None:
    """Django changes the state's field in place, and the operation would have that."""

    def models_with(name: str, pinned: Any, **relaxed: Any) -> ProjectState:
        slug = number(unique=True, **pinned)
        return state([post(**{name: slug}), table("Note", p=fk("post", **relaxed))])

    before = models_with("slug", {}, to_field="slug")
    after = models_with("key", {"db_column": "slug"}, to_field="key", null=True)
    start = generated(state([]), before)
    first = run(state([]), start)
    try:
        [migration] = generated(first, after)
        assert not drift(applied(first, [migration]), after)
        run(first, [migration])
        now = copied(first)
        assert now.apps is not None  # "migrate" renders it as well.
        with connection.schema_editor() as editor:
            migration.unapply(now, editor)
    finally:
        undo(state([]), start)


@pytest.mark.parametrize("known", [True, False])
def test_a_field_is_renamed_in_another_migration_than_its_model(known: bool) -> None:
    """Where another app is waited for between the two, and has a model renamed.

    The fields that refer to that may be told of before it has its new name.
    """

    def models_with(new: bool) -> ProjectState:
        author, posts, tag = (
            ("Writer", "texts", "Label") if new else ("Author", "posts", "Tag")
        )
        tables = [
            {"db_table": name} if new or known else {}
            for name in ("blog_author", "zoo_tag")
        ]
        joined = models.ManyToManyField(
            "blog.post",
            related_name="+",
            through="blog.Link",
            through_fields=("author", "post"),
        )
        link = table(
            "Link",
            author=fk(f"blog.{author.lower()}", null=new),
            post=fk("blog.post"),
            tag=fk(f"zoo.{tag.lower()}", db_index=not new),
        )
        count = {"m": number(db_column="n")} if new else {"n": number()}
        other = table("Other", author=fk(f"blog.{author.lower()}"), **count)
        result = of_apps(post(), "zoo", table(tag, tables[1], n=number()), other)
        for each in (table(author, tables[0], **{posts: joined}), link):
            each.state_forwards("blog", result)
        return result

    in_steps(models_with(new=False), models_with(new=True))
