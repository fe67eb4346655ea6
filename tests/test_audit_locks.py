"""What the audit says about locks is what the databases do.

PostgreSQL tells what a transaction has read and rewritten. MySQL and MariaDB refuse a
change that can't be made in place without a lock, if they are told to make it so.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest
from django.db import Error, connection, migrations, models, transaction
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterUniqueTogether,
    CreateModel,
    RemoveConstraint,
    RemoveField,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from syzygy import Stage
from tests.audit_helpers import audited, codes, step
from tests.command_helpers import Project
from tests.rules_helpers import APP, model
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]


def text(length: int, **options: Any) -> Any:
    return models.CharField(max_length=length, **options)


def decimal(digits: int) -> Any:
    return models.DecimalField(max_digits=digits, decimal_places=2, null=True)


def author(**options: Any) -> Any:
    return models.ForeignKey("blog.author", models.CASCADE, **options)


def alter(name: str, field: Any) -> Operation:
    return AlterField("post", name, field)


def add(field: Any) -> Operation:
    return AddField("post", "extra", field)


COMPUTED = models.GeneratedField(
    expression=F("number") + 1, output_field=models.IntegerField(), db_persist=True
)
BEFORE = [
    model("Author", name=text(20)),
    model(
        "Post",
        title=text(20),
        short=text(10, null=True),
        middle=text(32, default=""),
        long=text(200),
        body=models.TextField(default=""),
        number=models.IntegerField(null=True),
        small=models.SmallIntegerField(default=0),
        positive=models.PositiveIntegerField(default=0),
        amount=decimal(6),
        loose=author(db_constraint=False, null=True, related_name="+"),
    ),
]
# What PostgreSQL and MySQL are said to do; MariaDB does the latter, too.
REWRITE, SCAN, INDEX, KEY = "SZ017", "SZ018", "SZ019", "SZ020"
FACTS: list[tuple[str, set[str], set[str], Operation]] = [
    (
        "bigint",
        {REWRITE},
        {REWRITE},
        alter("number", models.BigIntegerField(null=True)),
    ),
    ("int", {REWRITE}, {REWRITE}, alter("small", models.IntegerField(default=0))),
    ("signed", set(), {REWRITE}, alter("positive", models.IntegerField(default=0))),
    ("key", {REWRITE}, {REWRITE}, alter("id", models.AutoField(primary_key=True))),
    ("longer", set(), set(), alter("title", text(60))),
    ("long", set(), set(), alter("long", text(400))),
    # Bytes count, of which a character may have four.
    ("up to 255 bytes", set(), set(), alter("middle", text(63, default=""))),
    ("beyond 255 bytes", set(), {REWRITE}, alter("middle", text(64, default=""))),
    ("unlimited", set(), {REWRITE}, alter("title", models.TextField())),
    ("shorter", {REWRITE}, {REWRITE}, alter("title", text(10))),
    ("limited", {REWRITE}, {REWRITE}, alter("body", text(300, default=""))),
    ("more digits", set(), {REWRITE}, alter("amount", decimal(9))),
    ("fewer digits", {REWRITE}, {REWRITE}, alter("amount", decimal(5))),
    ("not null", {SCAN}, set(), alter("short", text(10, default=""))),
    ("null", set(), set(), alter("title", text(20, null=True))),
    ("new", set(), set(), add(models.IntegerField(null=True))),
    ("new, default", set(), set(), add(models.IntegerField(default=3))),
    ("new, db_default", set(), set(), add(models.IntegerField(db_default=3))),
    ("new, now", set(), set(), add(models.DateTimeField(db_default=Now()))),
    ("new, stored", {REWRITE}, {REWRITE}, add(COMPUTED)),
    ("new, unique", {INDEX}, set(), add(models.IntegerField(null=True, unique=True))),
    ("new, positive", {SCAN}, set(), add(models.PositiveIntegerField(null=True))),
    ("new key", {INDEX}, {KEY}, add(author(null=True))),
    (
        "new loose key",
        set(),
        set(),
        add(author(null=True, db_constraint=False, db_index=False)),
    ),
    ("tight key", {KEY}, {KEY}, alter("loose", author(null=True, related_name="+"))),
    ("index", {INDEX}, set(), AddIndex("post", models.Index(F("number"), name="i"))),
    (
        "db_index",
        {INDEX},
        set(),
        alter("number", models.IntegerField(null=True, db_index=True)),
    ),
    (
        "unique",
        {INDEX},
        set(),
        alter("number", models.IntegerField(null=True, unique=True)),
    ),
    (
        "unique constraint",
        {INDEX},
        set(),
        AddConstraint("post", models.UniqueConstraint(fields=["number"], name="u")),
    ),
    ("together", {INDEX}, set(), AlterUniqueTogether("post", {("number", "small")})),
    (
        "check",
        {SCAN},
        {SCAN},
        AddConstraint("post", models.CheckConstraint(condition=Q(small=0), name="c")),
    ),
    (
        "comment",
        set(),
        set(),
        alter("number", models.IntegerField(null=True, db_comment="x")),
    ),
    ("gone", set(), set(), RemoveField("post", "number")),
]
# MySQL copies the table; MariaDB doesn't where there was room for up to 127 bytes.
MYSQL_ONLY = alter("title", text(100))
CODES = {REWRITE, SCAN, INDEX, KEY}


def told(operation: Operation, vendor: str) -> set[str]:
    found = audited(BEFORE, step(operation, stage=Stage.PRE_DEPLOY), vendor=vendor)
    return {finding.code for finding in found} & CODES


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact[0])
def test_what_the_audit_tells(fact: tuple[str, set[str], set[str], Operation]) -> None:
    _, postgresql, mysql, operation = fact
    assert told(operation, "postgresql") == postgresql
    assert told(operation, "mysql") == mysql
    assert told(operation, "sqlite") == set()


def test_a_new_key_that_has_a_value_in_each_row() -> None:
    for field in (author(default=1), author(null=True, db_default=1)):
        assert told(add(field), "postgresql") == {INDEX, KEY}


def test_mysql_alone() -> None:
    assert told(MYSQL_ONLY, "mysql") == {REWRITE}
    assert told(MYSQL_ONLY, "postgresql") == set()
    for operation, unlike in ((MYSQL_ONLY, True), (alter("middle", text(64)), False)):
        found = audited(BEFORE, step(operation), vendor="mysql")
        [title] = [each.title for each in found if each.code == REWRITE]
        assert ("unlike MariaDB" in title) == unlike


def test_a_key_takes_what_refers_to_it_along() -> None:
    link = models.OneToOneField("blog.author", models.CASCADE, primary_key=True)
    before = [
        model(
            "Author",
            id=models.AutoField(primary_key=True),
            code=models.IntegerField(unique=True),
        ),
        model("Tag", name=text(20)),
        model("Desk", author=link, place=text(20)),
        model("Post", author=author(), tags=models.ManyToManyField("blog.tag")),
        model("Shelf", desk=models.ForeignKey("blog.desk", models.CASCADE)),
        model(
            "Badge",
            code=author(to_field="code"),
            readers=models.ManyToManyField("blog.author", related_name="+"),
        ),
        model("Sketch", (), {"managed": False}, author=author()),
    ]
    widened = AlterField("author", "id", models.BigAutoField(primary_key=True))
    [found] = audited(before, step(widened))
    assert found.code == REWRITE
    tables = ("badge_readers", "desk", "post", "shelf")
    named = ", ".join(f'"blog_{table}"' for table in tables)
    assert found.title.endswith(f"and with it that of what refers to it, in {named}")
    assert 'default_auto_field = "django.db.models.AutoField"' in found.remedy

    code = AlterField("author", "code", models.BigIntegerField(unique=True))
    titles = [each.title for each in audited(before, step(code))]
    assert titles[0].endswith('in "blog_badge"')

    more = [model(f"M{i}", author=author()) for i in range(5)]
    [found] = audited([*before, *more], step(widened))
    assert found.title.endswith('"blog_m2" and 4 more')


def test_a_default_that_varies() -> None:
    functions = pytest.importorskip("django.contrib.postgres.functions")
    new = add(models.UUIDField(db_default=functions.RandomUUID()))
    assert told(new, "postgresql") == {REWRITE}


def test_what_comes_in_place_of_the_same_is_another_index() -> None:
    before = [model("Post", number=models.IntegerField(unique=True), title=text(20))]
    plain = alter("number", models.IntegerField())
    pair = models.UniqueConstraint(fields=["number", "title"], name="pair")
    together = AlterUniqueTogether("post", {("number", "title")})
    for change in (together, AddConstraint("post", pair)):
        assert INDEX in codes(audited(before, step(plain, change)))
    constrained = [
        model("Post", number=models.IntegerField()),
        AddConstraint("post", models.UniqueConstraint(fields=["number"], name="one")),
    ]
    unique = alter("number", models.IntegerField(unique=True))
    replaced = step(RemoveConstraint("post", "one"), unique)
    assert INDEX in codes(audited(constrained, replaced))


@pytest.mark.parametrize("stage", [Stage.PRE_DEPLOY, Stage.POST_DEPLOY])
def test_what_is_built_in_place_of_the_same_is_built_in_that_stage(
    stage: Stage,
) -> None:
    """In another one nothing would be in force for a while."""
    pair = {("number", "title")}
    fields = {"number": models.IntegerField(), "title": text(20)}
    before = [model("Post", (), {"unique_together": pair}, **fields)]
    constraint = models.UniqueConstraint(fields=["number", "title"], name="pair")
    drop, add = AlterUniqueTogether("post", set()), AddConstraint("post", constraint)
    other = stage.inverted
    # One in place of the other, and one beside the other.
    for operations in ([drop, add], [add]):
        found = audited(before, step(*operations, stage=stage))
        [remedy] = [each.remedy for each in found if each.code == INDEX]
        assert remedy.count(f"stage = Stage.{stage.name}") == 2
        assert f"Stage.{other.name}" not in remedy
        written = [step(each, stage=stage) for each in operations[:-1]]
        assert "SZ013" not in codes(audited(before, *written, *pasted(remedy)))
    [new] = audited([model("Post", **fields)], step(add, stage=Stage.POST_DEPLOY))
    assert new.remedy.count("stage = Stage.POST_DEPLOY") == 2


def test_when_to_build_what_comes_in_place_of_the_same() -> None:
    integers = {"number": models.IntegerField(unique=True), "size": text(20)}
    before = [model("Post", title=text(20), **integers)]
    plain = alter("number", models.IntegerField())
    together: set[tuple[str, ...]] = set()
    for pair, stage in ((("number", "title"), "PRE"), (("size", "title"), "POST")):
        together = {*together, pair}
        new = step(plain, AlterUniqueTogether("post", together))
        (found,) = [each for each in audited(before, new) if each.code == INDEX]
        assert set(re.findall(r"Stage\.(PRE|POST)_DEPLOY", found.remedy)) == {stage}


def test_what_keeps_rows_from_the_same_goes_last() -> None:
    pair = model(
        "Post",
        (),
        {"unique_together": {("number", "title")}},
        number=models.IntegerField(),
        title=text(20),
        size=text(20),
    )
    more = AlterUniqueTogether("post", {("number", "title", "size")})
    found = audited([pair], step(more))
    assert codes(found) == [INDEX]
    build, use = pasted(found[0].remedy)
    assert [type(each) for each in build["operations"]] == [migrations.RunSQL]
    assert {build["stage"], use["stage"]} == {Stage.PRE_DEPLOY}
    [both] = use["operations"]
    assert both.database_operations[-1].unique_together == set()
    assert codes(audited([pair], build, use)) == []


def test_what_is_dropped_stays_until_there_is_another_index() -> None:
    """What nobody keeps rows from while it is built may fail at them."""
    pair: set[tuple[str, ...]] = {("number", "title")}
    mere = models.UniqueConstraint(Lower("title"), name="lower")
    fields = {"number": models.IntegerField(unique=True), "title": text(20)}
    before = [model("Post", **fields), AddConstraint("post", mere)]
    plain = alter("number", models.IntegerField())
    single = models.UniqueConstraint(fields=["number"], name="single")
    for change in (AlterUniqueTogether("post", pair), AddConstraint("post", single)):
        found = audited(before, step(plain, change))
        [remedy] = [each.remedy for each in found if each.code == INDEX]
        assert "in a migration before the one that drops what it replaces" in remedy
        build, use = pasted(remedy)
        use["operations"].insert(0, plain)
        assert not codes(audited(before, build, use))
    renamed = models.UniqueConstraint(Lower("title"), name="other")
    drop, add = RemoveConstraint("post", "lower"), AddConstraint("post", renamed)
    found = audited(before, step(drop, add))
    [remedy] = [each.remedy for each in found if each.code == INDEX]
    assert "concurrently, before what it replaces is dropped, with" in remedy


def test_what_the_plan_creates_is_free() -> None:
    for _, _, _, operation in FACTS:
        found = audited([], step(*BEFORE), step(operation))
        assert not {finding.code for finding in found} & {REWRITE, SCAN, INDEX}


# The facts


def write_tables() -> ProjectState:
    state = ProjectState()
    apply(BEFORE, state)
    return state


def apply(operations: Iterable[Operation], state: ProjectState) -> None:
    with connection.schema_editor() as editor:
        for operation in operations:
            before = state.clone()
            operation.state_forwards(APP, state)
            operation.database_forwards(APP, editor, before, state)


def ask(sql: str) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row: Sequence[Any] = cursor.fetchone()
    return row


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="It is about PostgreSQL.")
def test_postgresql(project: Project) -> None:
    del project
    state = write_tables()
    found = {}
    for name, _, _, operation in FACTS:
        found[name] = seen_by_postgresql(operation, state)
    assert found == {name: codes for name, codes, _, _ in FACTS}


def seen_by_postgresql(operation: Operation, state: ProjectState) -> set[str]:
    after = state.clone()
    operation.state_forwards(APP, after)
    [oid] = ask("SELECT 'blog_post'::regclass::oid")
    look = (
        f"SELECT pg_relation_filenode({oid}), seq_scan, "
        f"(SELECT count(*) FROM pg_index WHERE indrelid = {oid}) "
        f"FROM pg_stat_xact_all_tables WHERE relid = {oid}"
    )
    with transaction.atomic():
        file, scans, indexes = ask(look)
        with connection.schema_editor() as editor:
            operation.database_forwards(APP, editor, state, after)
        new_file, new_scans, new_indexes = ask(look)
        [locks] = ask(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() "
            "AND relation = 'blog_author'::regclass "
            "AND mode = 'ShareRowExclusiveLock'"
        )
        transaction.set_rollback(True)
    seen = set()
    if new_file != file:
        seen.add(REWRITE)
    elif new_indexes > indexes:
        seen.add(INDEX)
    elif new_scans > scans:
        seen.add(KEY if locks else SCAN)
    return seen


def test_how_to_have_rows_checked_without_locking_anybody_out() -> None:
    def remedy(operation: Operation, vendor: str) -> str:
        book = model("Book", pages=models.IntegerField(null=True))
        found = audited([model("Author"), book], step(operation), vendor=vendor)
        return next(f.remedy for f in found if f.code == SCAN)

    pages = models.CheckConstraint(condition=Q(pages__gte=0), name="pages")
    lower = models.CheckConstraint(condition=Q(pages__lt=object()), name="odd")
    text = remedy(AddConstraint("book", pages), "postgresql")
    assert "ValidateConstraint('book', 'pages')" in text
    if find_spec("psycopg"):
        assert (
            "CheckConstraint(condition=models.Q(('pages__gte', 0)), name='pag" in text
        )
    # What can't be written is left to the reader.
    text = remedy(AddConstraint("book", lower), "postgresql")
    assert "AddConstraintNotValid('book', ...)" in text
    # There are no such operations for MySQL.
    text = remedy(AddConstraint("book", pages), "mysql")
    assert text.startswith("Accept it for a small table")
    assert "postgres" not in text
    tighten = AlterField("book", "pages", models.IntegerField())
    text = remedy(tighten, "postgresql")
    assert "Q(pages__isnull=False), name='book_pages_given'))" in text
    removal = text.partition("until a later deployment\n")[2]
    assert removal == "    migrations.RemoveConstraint('book', 'book_pages_given')"
    proof = models.CheckConstraint(
        condition=Q(pages__isnull=False), name="book_pages_given"
    )
    operations = pytest.importorskip("django.contrib.postgres.operations")
    known = [model("Author"), model("Book", pages=models.IntegerField(null=True))]
    steps_ = [
        step(operations.AddConstraintNotValid("book", proof)),
        step(operations.ValidateConstraint("book", proof.name)),
        step(tighten),
    ]
    found = audited(known, *steps_, vendor="postgresql")
    assert SCAN not in {finding.code for finding in found}


def test_how_to_build_an_index_without_locking_anybody_out() -> None:
    constraints = pytest.importorskip("django.contrib.postgres.constraints")

    def remedy(operation: Operation) -> str:
        book = model("Book", pages=models.IntegerField(null=True))
        found = audited([model("Author"), book], step(operation), vendor="postgresql")
        return next(f.remedy for f in found if f.code == INDEX)

    indexed = models.IntegerField(null=True, db_index=True)
    for operation, column in [
        (AlterField("book", "pages", indexed), "pages"),
        (AddField("book", "more", indexed), "more"),
        (AddField("book", "author", author(null=True)), "author"),
    ]:
        text = remedy(operation)
        assert "operations.AddIndexConcurrently(\n" in text
        assert f"models.Index(fields=['{column}'], name='book_{column}_idx')" in text
        assert "db_index=False" in text
        assert "UNIQUE" not in text
    unique = models.IntegerField(null=True, unique=True)
    assert "UNIQUE USING INDEX" in remedy(AlterField("book", "pages", unique))
    added = remedy(AddField("book", "more", unique))
    assert added.startswith("Add the field without unique=True. Build a unique index")
    plain = models.UniqueConstraint(fields=["pages"], name="one")
    assert "UNIQUE USING INDEX" in remedy(AddConstraint("book", plain))
    some = models.UniqueConstraint(fields=["pages"], condition=Q(pages=1), name="one")
    partial = remedy(AddConstraint("book", some))
    create = 'CREATE UNIQUE INDEX CONCURRENTLY "one" ON "blog_book" ('
    assert f'{create}"pages") WHERE (...)\'' in partial
    assert (
        '"..." stands for is told by "manage.py sqlmigrate blog 0002_next":' in partial
    )
    assert "USING INDEX" not in partial
    lower = models.UniqueConstraint(Lower("pages"), name="one")
    assert f"{create}...)'" in remedy(AddConstraint("book", lower))
    key = AddField("book", "code", models.IntegerField(primary_key=True))
    assert "no other way" in remedy(key)
    exclusion = constraints.ExclusionConstraint(
        name="apart", expressions=[("pages", "=")]
    )
    assert "no other way" in remedy(AddConstraint("book", exclusion))


def unique(*names: str, **options: Any) -> Operation:
    return AddConstraint(
        "post", models.UniqueConstraint(fields=names, name="one", **options)
    )


class Strange(models.IntegerField):  # type: ignore[type-arg]
    """One that no migration can hold."""

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "help_text": object()}


TOGETHER = ("short", "middle")
DEFERRED = models.Deferrable.DEFERRED
# First what the one rule tells, then what the other does.
BOTH = f"{INDEX} {KEY}"
# What PostgreSQL can be told to do while others write.
WRITTEN: dict[str, tuple[str, Operation]] = {
    "new": (INDEX, add(models.IntegerField(null=True, unique=True))),
    "slug": (INDEX, add(models.SlugField(null=True, unique=True))),
    "new key": (
        INDEX,
        add(models.OneToOneField("blog.author", models.CASCADE, null=True)),
    ),
    "unique": (INDEX, alter("number", models.IntegerField(null=True, unique=True))),
    "unique, not only indexed": (
        INDEX,
        alter("rank", models.SlugField(null=True, unique=True)),
    ),
    "one to one": (
        INDEX,
        alter(
            "writer",
            models.OneToOneField(
                "blog.author", models.CASCADE, null=True, related_name="+"
            ),
        ),
    ),
    "and longer": (INDEX, alter("title", text(40, unique=True))),
    "together": (
        INDEX,
        AlterUniqueTogether("post", {TOGETHER, ("title", "loose"), ("long", "small")}),
    ),
    "together, much alike": (
        INDEX,
        AlterUniqueTogether("post", {TOGETHER, ("a_b", "c"), ("a", "b_c")}),
    ),
    "otherwise together": (
        INDEX,
        AlterUniqueTogether("post", {("title", "loose"), ("title", "number")}),
    ),
    "together with one more": (
        INDEX,
        AlterUniqueTogether("post", {(*TOGETHER, "loose")}),
    ),
    "constraint": (INDEX, unique("number", "loose")),
    "deferred": (INDEX, unique("number", deferrable=DEFERRED)),
    "at once": (INDEX, unique("number", deferrable=models.Deferrable.IMMEDIATE)),
    "NULL, too": (INDEX, unique("number", nulls_distinct=False)),
    "distinct": (INDEX, unique("number", nulls_distinct=True)),
    "covering": (INDEX, unique("number", include=["loose"])),
    "operators": (INDEX, unique("title", opclasses=["varchar_pattern_ops"])),
    "key": (KEY, alter("loose", author(null=True, related_name="+"))),
    "key, NOT NULL": (KEY, alter("loose", author(related_name="+"))),
    "key with a value": (KEY, add(author(default=1, db_index=False))),
    "one to one with a value": (
        BOTH,
        add(models.OneToOneField("blog.author", models.CASCADE, default=1)),
    ),
    "key to another field": (
        KEY,
        add(author(default=1, to_field="code", db_index=False)),
    ),
    "key to a proxy": (
        KEY,
        add(
            models.ForeignKey(
                "blog.scribe",
                models.CASCADE,
                default=1,
                to_field="code",
                db_index=False,
            )
        ),
    ),
}
MORE = [
    AddField("author", "code", models.IntegerField(unique=True, db_column="Key")),
    CreateModel("Scribe", [], options={"proxy": True}, bases=("blog.author",)),
    AddField("post", "rank", models.SlugField(null=True, db_index=True)),
    AddField("post", "writer", author(null=True, related_name="+")),
    AlterUniqueTogether("post", {TOGETHER}),
    *(
        AddField("post", name, models.IntegerField(null=True))
        for name in ("a", "b_c", "a_b", "c")
    ),
]


def pasted(remedy: str) -> list[dict[str, Any]]:
    """The migrations that a remedy has, as anybody would write them."""
    found = []
    lines = textwrap.dedent(remedy.partition("\n")[2])
    for part in lines.split("# then, in the next migration\n"):
        names: dict[str, Any] = {"migrations": migrations, "models": models}
        operations: list[Operation] = []
        for node in ast.parse(part).body:
            source = ast.unparse(node)
            if isinstance(node, ast.Expr):
                value = eval(source, names)
                operations += value if isinstance(value, tuple) else [value]
            else:
                exec(source, names)
        settings = {k: names[k] for k in ("stage", "atomic") if k in names}
        found.append(step(*operations, **settings))
    return found


def remedy_for(code: str, operation: Operation, vendor: str = "postgresql") -> str:
    found = audited([*BEFORE, *MORE], step(operation), vendor=vendor)
    return next(finding.remedy for finding in found if finding.code == code)


def all_pasted(rules: str, operation: Operation) -> list[dict[str, Any]]:
    return [
        each for code in rules.split() for each in pasted(remedy_for(code, operation))
    ]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_to_be_written_is_whole(name: str) -> None:
    rules, operation = WRITTEN[name]
    steps_ = all_pasted(rules, operation)
    # That is mended, and nothing else is wrong that wasn't before.
    found = {*codes(audited([*BEFORE, *MORE], *steps_))}
    before = {*codes(audited([*BEFORE, *MORE], step(operation)))}
    assert found <= before - {*rules.split()}
    # The models are in the end what they were to be.
    one, other = ProjectState(), ProjectState()
    for each in [*BEFORE, *MORE]:
        each.state_forwards(APP, one)
        each.state_forwards(APP, other)
    operation.state_forwards(APP, one)
    for each in (each for made in steps_ for each in made["operations"]):
        each.state_forwards(APP, other)
    assert one == other


def test_a_new_key_is_added_by_what_one_rule_tells() -> None:
    """What the two rules tell goes together, whichever is pasted first."""
    pytest.importorskip("django.contrib.postgres.operations")
    operation = add(author(default=1))
    for rules in (BOTH, f"{KEY} {INDEX}"):
        told = "".join(remedy_for(code, operation) for code in rules.split())
        assert told.count("AddField(") == 1
    assert "db_index=False, for which SZ019 has the index" in told
    found = codes(audited([*BEFORE, *MORE], *all_pasted(f"{KEY} {INDEX}", operation)))
    assert not {INDEX, KEY} & {*found}

    rules, operation = WRITTEN["one to one with a value"]
    index, key = (remedy_for(code, operation) for code in rules.split())
    assert "which comes after this, as SZ020 tells" in index
    assert key.startswith("Add the field as SZ019 tells, and the constraint after")
    assert (index.count("AddField("), key.count("AddField(")) == (1, 0)


def test_other_columns_have_other_names() -> None:
    told = remedy_for(*WRITTEN["together, much alike"])
    names = re.findall(r'CREATE UNIQUE INDEX CONCURRENTLY "(\w+)"', told)
    assert names == ["blog_post_a__b_c_uniq", "blog_post_a_b__c_uniq"]


class Own(models.OneToOneField):  # type: ignore[type-arg]
    """One that takes what no other does."""

    def __init__(self, *args: Any, tag: str = "", **options: Any) -> None:
        self.tag = tag
        super().__init__(*args, **options)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "tag": self.tag}


@pytest.mark.parametrize(
    ("field", "column"),
    [
        (Strange(null=True, unique=True), "extra"),
        (Own("blog.author", models.CASCADE, null=True, tag="x"), "extra_id"),
    ],
)
def test_what_cannot_be_written_is_left_to_the_reader(field: Any, column: str) -> None:
    told = remedy_for(INDEX, add(field))
    assert '# "Add field extra to post", with unique=False\n' in told
    is_written = isinstance(field, Own)
    assert ("state_operations: AlterField\n" in told) != is_written
    assert ("    state_operations=[" in told) == is_written
    assert f'CREATE UNIQUE INDEX CONCURRENTLY "blog_post_{column}_uniq"' in told
    assert f'ADD CONSTRAINT "blog_post_{column}_uniq" UNIQUE USING INDEX' in told


def test_that_an_index_for_like_goes_is_told() -> None:
    for name, is_told in (
        ("unique, not only indexed", True),
        ("one to one", False),
        ("slug", False),
        ("and longer", False),
    ):
        assert ("one for LIKE with it" in remedy_for(*WRITTEN[name])) is is_told


def test_names_are_as_long_as_postgresql_takes_them() -> None:
    long = model("Long", n=models.IntegerField(), other=author(db_constraint=False))
    vars(long)["options"]["db_table"] = '"shop"."' + "b" * 60 + '"'
    for code, operation in (
        (INDEX, AlterField("long", "n", models.IntegerField(unique=True))),
        (KEY, AlterField("long", "other", author())),
    ):
        found = audited([*BEFORE, long], step(operation))
        told = next(finding.remedy for finding in found if finding.code == code)
        assert f'"shop"."{"b" * 60}"' in told
        [name] = {*re.findall(r'ADD CONSTRAINT "(\w+)"', told)}
        assert len(name) == 63
        assert code == KEY or f'IF EXISTS "shop"."{name}"' in told
    # Django leaves it to PostgreSQL to cut off a name that somebody gave.
    vars(long)["options"]["db_table"] = "b" * 70
    found = audited([*BEFORE, long], step(operation))
    told = next(finding.remedy for finding in found if finding.code == KEY)
    assert f'ALTER TABLE "{"b" * 70}"' in told


def test_there_is_no_other_way_to_add_a_foreign_key() -> None:
    many = AlterField("post", "many", models.ManyToManyField("blog.author"))
    loose = models.ManyToManyField("blog.author", db_constraint=False)
    found = audited([*BEFORE, AddField("post", "many", loose)], step(many))
    told = [each.remedy for each in found if each.code == KEY]
    for remedy in (*told, remedy_for(KEY, WRITTEN["key"][1], "mysql")):
        assert remedy.startswith("Keep the constraint out of the database (db_const")
        assert "\n" not in remedy
    assert told


# Those of the table, all of which are checked.
CONSTRAINTS = """
    SELECT count(*), bool_and(convalidated) FROM pg_constraint
    WHERE contype IN ('u', 'f') AND conrelid = 'blog_post'::regclass
"""


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="It is about PostgreSQL.")
@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_to_be_written_works(name: str, project: Project) -> None:
    """It can be undone, and Django finds what it would have made itself."""
    del project
    rules, operation = WRITTEN[name]
    steps_ = all_pasted(rules, operation)
    start = write_tables()
    apply(MORE, start)
    there = ask(CONSTRAINTS)
    states = [start]
    for made in steps_:
        states.append(states[-1].clone())
        for each in made["operations"]:
            each.state_forwards(APP, states[-1])

    def run(*, backward: bool) -> None:
        numbered = list(enumerate(steps_))
        for number, made in reversed(numbered) if backward else numbered:
            before, after = states[number : number + 2]
            atomic = made.get("atomic", True)
            with connection.schema_editor(atomic=atomic) as editor:
                for each in made["operations"]:
                    if backward:
                        each.database_backwards(APP, editor, after, before)
                    else:
                        each.database_forwards(APP, editor, before, after)

    run(backward=False)
    run(backward=True)
    assert ask(CONSTRAINTS) == there
    run(backward=False)
    [_, are_checked] = ask(CONSTRAINTS)
    assert are_checked
    with connection.schema_editor() as editor:
        operation.database_backwards(APP, editor, states[-1], start)
    assert ask(CONSTRAINTS) == there


@pytest.mark.skipif(UNDER_TEST != "mariadb", reason="It is about MariaDB.")
def test_mariadb(project: Project) -> None:
    del project
    copied = {name for name, _, _, operation in FACTS if is_copied(operation)}
    assert copied == {name for name, _, codes, _ in FACTS if codes}
    assert not is_copied(MYSQL_ONLY)
    assert not is_copied(AlterField("post", "short", text(64, null=True)))


IN_PLACE = {
    "ALTER": ", ALGORITHM=INPLACE, LOCK=NONE",
    "CREATE": " ALGORITHM=INPLACE LOCK=NONE",
}


def is_copied(operation: Operation) -> bool:
    """Whether the database refuses to do it in place, while others write."""
    with tables() as state:
        after = state.clone()
        operation.state_forwards(APP, after)
        with connection.schema_editor(collect_sql=True) as editor:
            operation.database_forwards(APP, editor, state, after)
        try:
            for statement in editor.collected_sql:
                ending = IN_PLACE.get(statement.split()[0], "")
                with connection.cursor() as cursor:
                    cursor.execute(statement.rstrip(";") + ending)
        except Error as error:
            if error.args[0] not in {1845, 1846}:  # It can't be done so.
                raise
            return True
    return False


@contextmanager
def tables() -> Iterator[ProjectState]:
    state = write_tables()
    try:
        yield state
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE blog_post")
            cursor.execute("DROP TABLE blog_author")
