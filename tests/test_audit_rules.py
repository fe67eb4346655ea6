"""Each rule of the audit finds the bad example of its page, and passes the good one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
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
    RemoveField,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import CASCADE, Func, Q

from syzygy import Stage
from syzygy.audit.base import AuditRule
from syzygy.audit.catalogue import all_rules, page_of
from syzygy.audit.explain import as_text, explain
from syzygy.audit.findings import Finding
from syzygy.operations import Backfill
from syzygy.stages import Policy
from tests.audit_helpers import audited, audited_alone, breaking, codes, step
from tests.docs_helpers import (
    APP,
    DOCS,
    PRELUDE,
    blocks,
    fields,
    initial,
    is_importable,
    labels,
    read,
    shop_state,
)
from tests.rules_helpers import model

PLAIN = AlterField("post", "a", models.IntegerField())
SINGLE = models.UniqueConstraint(fields=["b"], name="b")
STATED = SeparateDatabaseAndState(
    state_operations=[AlterField("post", "b", models.IntegerField(unique=True))]
)
UNSTATED = AlterField("post", "b", models.IntegerField())
# The column is the new one, as it is called.
RENAMED = [
    RenameField("post", "b", "e"),
    AlterField("post", "d", models.IntegerField(null=True)),
]
STATED_PAIR = SeparateDatabaseAndState(
    state_operations=[AlterUniqueTogether("post", {("b",)})]
)
STATED_SINGLE = SeparateDatabaseAndState(
    state_operations=[AddConstraint("post", SINGLE)]
)

RULES = all_rules()
VENDORS = {"postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite"}
# Examples of which the operations alone don't tell; other tests have them.
ELSEWHERE = {"SZ000", "SZ001"}
ATTRIBUTES = {"operations", "stage", "atomic"}
JUDGED = [code for code in RULES if code not in ELSEWHERE]


@pytest.fixture(scope="module")
def shop() -> Sequence[Operation]:
    operations: Sequence[Operation] = initial(shop_state()).operations
    return operations


def steps(code: str, caption: str) -> list[dict[str, Any]]:
    """What the blocks with a caption define: migrations of one release."""
    found = []
    for block in blocks(page_of(RULES[code])):
        if block.caption == caption:
            names: dict[str, Any] = {}
            exec(compile(PRELUDE + block.text, f"{code}, {caption}", "exec"), names)
            found.append({name: names[name] for name in ATTRIBUTES & names.keys()})
    assert found, caption
    return found


def found_in(
    shop: Sequence[Operation], code: str, caption: str, vendor: str
) -> list[Finding]:
    text = page_of(RULES[code])
    if "contrib.postgres" in text and not is_importable("psycopg"):
        pytest.skip("It imports django.contrib.postgres, which needs psycopg.")
    return audited(
        shop,
        *steps(code, caption),
        vendor=vendor,
        app_label=APP,
        strict=RULES[code].strict,
    )


@pytest.mark.parametrize("code", JUDGED)
def test_the_bad_example_is_found(code: str, shop: Sequence[Operation]) -> None:
    rule = RULES[code]
    for vendor in VENDORS:
        applies = not rule.vendors or vendor in rule.vendors
        found = found_in(shop, code, "Bad", vendor)
        assert (code in codes(found)) == applies, vendor
        for finding in found:
            assert_is_worded_well(finding)
            if finding.code == code:
                assert finding.severity is rule.severity


@pytest.mark.parametrize("code", JUDGED)
def test_the_good_example_is_not(code: str, shop: Sequence[Operation]) -> None:
    for vendor in VENDORS:
        found = found_in(shop, code, "Good", vendor)
        assert code not in codes(found), vendor
        assert not [finding for finding in found if finding.is_breaking], vendor


def assert_is_worded_well(finding: Finding) -> None:
    assert not finding.title.endswith(".")
    assert "\n" not in finding.title
    for text in (finding.what, finding.when, finding.why):
        assert text[0].isupper() or text[0] == '"', text
        assert text[-1] == ".", text
    first, *code = finding.remedy.split("\n")
    assert first[-1] in ".:" or code, first
    if finding.code not in {"SZ002", "SZ003"}:
        assert all(line.startswith("    ") for line in code), finding.remedy


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_the_page_says_what_the_rule_says(rule: AuditRule) -> None:
    page = page_of(rule)
    assert page.startswith(f"{rule.code}: {rule.name}\n===")
    told = fields(page)
    assert told["Severity"] == rule.severity.value
    databases = told["Databases"]
    assert {v for v, name in VENDORS.items() if name in databases} == set(rule.vendors)
    assert ("all" in databases) == (not rule.vendors)
    assert f"\n\n{rule.summary}\n\n" in page
    assert max(map(len, page.splitlines())) <= 90


def test_the_documentation_has_the_same_pages() -> None:
    index = read("reference/audit/index")
    for code in RULES:
        page = read(f"reference/audit/{code.lower()}")
        assert labels("audit", page) == [code]
        assert f"include:: ../../../syzygy/audit/pages/{code}.rst" in page
        assert re.search(rf"^   {code.lower()}$", index, re.MULTILINE)
    folder = Path(DOCS.parent, "syzygy", "audit", "pages")
    assert {path.stem for path in folder.iterdir()} == set(RULES)


@pytest.mark.parametrize("code", RULES)
def test_the_page_for_a_terminal(code: str) -> None:
    text = explain(code, {})
    assert text.startswith(code)
    for mark in ("::", "``", ":doc:", ":ref:", "\n.. "):
        assert mark not in text


def test_marks_of_sphinx_go() -> None:
    page = ".. _x:\n\nA :doc:`page </a>` and :ref:`b` with ``c``.\n"
    assert as_text(page) == "A page and b with c."


def test_codes_and_names_are_unique() -> None:
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    assert list(RULES) == sorted(RULES)


def test_the_first_deployment_breaks_nothing(shop: Sequence[Operation]) -> None:
    # All that the examples alter is created by the same release.
    created = [each for each in shop if isinstance(each, CreateModel)]
    release = [{"operations": created}, *steps("SZ006", "Bad"), *steps("SZ007", "Bad")]
    found = audited([], *release, app_label=APP)
    assert not [finding for finding in found if finding.is_breaking]


# What the examples don't tell


def text(**options: Any) -> models.CharField[str, str]:
    return models.CharField(max_length=20, **options)


POST = model("Post", title=text(), author=models.ForeignKey("blog.author", CASCADE))
AUTHOR = model("Author", name=text(null=True))


def both(database: Operation, state: Operation) -> Operation:
    return SeparateDatabaseAndState([database], [state])


def test_what_code_may_have_found_is_in_use() -> None:
    """A model that moves to this app, with code beside it that makes no table."""
    remove = RemoveField("moved", "title")
    moved = model("Moved", title=text(null=True))
    for database, expected in (
        (RunPython(print), {"SZ004"}),
        (RunSQL("SELECT 1"), {"SZ004"}),
        (RunSQL("CREATE TABLE x (id int)"), set()),
    ):
        release = step(both(database, moved)), step(remove, stage=Stage.PRE_DEPLOY)
        assert breaking(audited([AUTHOR], *release)) == expected


def test_what_is_altered_for_a_field_of_another_name_is_in_use() -> None:
    """A foreign key becomes the number that it is, in the same column."""
    loose = models.ForeignKey("blog.author", CASCADE, db_constraint=False, null=True)
    swap = SeparateDatabaseAndState(
        [AlterField("post", "author", loose)],
        [
            RemoveField("post", "author"),
            AddField("post", "author_id", models.BigIntegerField(null=True)),
        ],
    )
    remove = step(RemoveField("post", "author_id"), stage=Stage.PRE_DEPLOY)
    found = audited([AUTHOR, POST], step(swap, stage=Stage.PRE_DEPLOY), remove)
    assert [(each.code, each.migration) for each in found if each.is_breaking] == [
        ("SZ004", "0003_next")
    ]


def test_what_cannot_be_read_is_what_its_state_says() -> None:
    remove = RemoveField("post", "title")
    for operation in (
        both(RunSQL("SELECT drop_it()"), remove),
        RunSQL("SELECT", state_operations=[remove]),
    ):
        found = audited([AUTHOR, POST], step(operation, stage=Stage.PRE_DEPLOY))
        assert breaking(found) == {"SZ004"}
        found = audited([AUTHOR, POST], step(operation, stage=Stage.POST_DEPLOY))
        assert breaking(found) == {"SZ009"}


def test_sql_that_drops_is_told_apart_from_a_state_only_removal() -> None:
    remove = RemoveField("post", "title")
    drop = RunSQL("ALTER TABLE blog_post DROP COLUMN title", "", [remove])
    split = both(RunSQL("ALTER TABLE blog_post DROP COLUMN title", ""), remove)
    for operation in (drop, split):
        found = audited([AUTHOR, POST], step(operation))
        assert breaking(found) == {"SZ009"}
    relaxed = AlterField("post", "title", text(db_default=""))
    assert not breaking(audited([AUTHOR, POST, relaxed], step(split)))


def test_sql_about_tables_of_no_model() -> None:
    for sql in ("DROP TABLE legacy", "ALTER TABLE legacy ADD UNIQUE (a)"):
        found = audited([AUTHOR], step(RunSQL(sql, ""), stage=Stage.PRE_DEPLOY))
        assert not breaking(found)
        assert {"SZ004", "SZ013"} & {*codes(found)}
    created = [step(POST), step(RunSQL("ALTER TABLE blog_post ADD UNIQUE (title)", ""))]
    assert "SZ013" not in codes(audited([AUTHOR], *created))


def test_sql_about_tables_that_the_release_creates() -> None:
    retype = RunSQL("ALTER TABLE blog_post ALTER COLUMN title TYPE text", "")
    assert "SZ014" in codes(audited([AUTHOR, POST], step(retype)))
    assert "SZ014" not in codes(audited([AUTHOR], step(POST), step(retype)))


def test_sql_that_forbids_what_nobody_writes() -> None:
    fields = {"a": text(), "b": text(null=True), "c": text(db_default="x")}
    before = [model("Post", **fields)]

    def found(action: str, *others: Operation) -> bool:
        sql = RunSQL(f"ALTER TABLE blog_post ALTER {action}", "")
        early = step(*others, sql, stage=Stage.PRE_DEPLOY)
        return "SZ013" in codes(audited(before, early))

    assert not found("a SET NOT NULL")
    assert not found('COLUMN "a" DROP DEFAULT')
    assert found("b SET NOT NULL")
    assert not found("b DROP DEFAULT")
    assert found("COLUMN c DROP DEFAULT")
    # The DEFAULT may be that of a sequence, and of what isn't there nobody can tell.
    assert found("id DROP DEFAULT")
    assert found("other DROP DEFAULT")

    # What only the state says, the running release doesn't keep to.
    def told(*operations: Operation) -> Operation:
        return SeparateDatabaseAndState(state_operations=operations)

    assert found("b SET NOT NULL", told(AlterField("post", "b", text())))
    assert found("c DROP DEFAULT", told(AlterField("post", "c", text())))
    assert found("d SET NOT NULL", told(AddField("post", "d", text())))
    renamed = RenameField("post", "b", "e")
    pinned = AlterField("post", "b", text(db_column="b"))
    assert found("b SET NOT NULL", told(pinned, renamed))
    moved = model("Essay", (), {"db_table": "blog_post"}, b=text())
    gone = DeleteModel("Post")
    assert found("b SET NOT NULL", told(gone, moved, RenameModel("Essay", "Paper")))
    longer = AlterField("post", "a", models.TextField())
    assert not found("a SET NOT NULL", told(longer))
    # The running release leaves out what it doesn't know.
    assert found("d DROP DEFAULT", AddField("post", "d", text(null=True)))


@pytest.mark.parametrize(
    ("sql", "operations", "is_found"),
    [
        ("CREATE UNIQUE INDEX i ON blog_post (a)", [], False),
        ('CREATE UNIQUE INDEX CONCURRENTLY i ON "blog_post" ("b", "A")', [], False),
        ("CREATE UNIQUE INDEX i ON blog_post USING btree (a) WHERE b > 1", [], False),
        ("CREATE UNIQUE INDEX i ON blog_post (c, id, b)", [], False),
        ("CREATE UNIQUE INDEX i ON blog_post (a)", [PLAIN], False),
        ("CREATE UNIQUE INDEX i ON blog_post (b, a)", [PLAIN], False),
        ("ALTER TABLE blog_post ADD CONSTRAINT i UNIQUE USING INDEX i", [], False),
        # What only the state says, or what comes with the plan, no release keeps to.
        ("CREATE UNIQUE INDEX i ON blog_post (b)", [STATED], True),
        ("CREATE UNIQUE INDEX i ON blog_post (b)", [STATED, UNSTATED], True),
        ("CREATE UNIQUE INDEX i ON blog_post (e)", [STATED, *RENAMED], True),
        ("CREATE UNIQUE INDEX i ON blog_post (b)", [STATED_PAIR], True),
        ("CREATE UNIQUE INDEX i ON blog_post (b)", [STATED_SINGLE], True),
        ("CREATE UNIQUE INDEX i ON blog_post (b)", [], True),
        ("CREATE UNIQUE INDEX i ON blog_post (b, other)", [], True),
        ("CREATE UNIQUE INDEX i ON blog_post (d)", [], True),
        ("CREATE UNIQUE INDEX i ON blog_post (a) NULLS NOT DISTINCT", [], True),
        ("CREATE UNIQUE INDEX i ON blog_post (lower(a))", [], True),
        ("CREATE UNIQUE INDEX i ON blog_post (a text_ops)", [], True),
        ("CREATE UNIQUE INDEX i ON blog_post (a COLLATE nocase)", [], True),
        ("CREATE UNIQUE INDEX i ON blog_post", [], True),
        ("ALTER TABLE blog_post ADD CONSTRAINT i PRIMARY KEY USING INDEX i", [], True),
    ],
)
def test_unique_indexes_of_what_is_unique_already(
    sql: str, operations: Sequence[Operation], is_found: bool
) -> None:
    numbers = {name: models.IntegerField(null=True) for name in "bcd"}
    covering = models.UniqueConstraint(fields=["d"], include=["b"], name="d")
    before = [
        model(
            "Post",
            (),
            {"unique_together": {("b", "c")}},
            a=models.IntegerField(unique=True),
            **numbers,
        ),
        AddConstraint("post", covering),
    ]
    early = step(*operations, RunSQL(sql, ""), stage=Stage.PRE_DEPLOY)
    assert ("SZ013" in codes(audited(before, early))) is is_found


def test_the_removal_of_a_foreign_key() -> None:
    remove = step(RemoveField("post", "author"))
    assert {"SZ009", "SZ010"} <= {*codes(audited([AUTHOR, POST], remove))}
    nullable = AlterField(
        "post", "author", models.ForeignKey("blog.author", CASCADE, null=True)
    )
    found = codes(audited([AUTHOR, POST, nullable], remove))
    assert "SZ010" in found
    assert "SZ009" not in found
    together = AlterUniqueTogether("post", {("author", "title")})
    assert "SZ009" in codes(audited([AUTHOR, POST, nullable, together], remove))


def state(*operations: Operation) -> dict[str, Any]:
    return step(SeparateDatabaseAndState([], list(operations)))


def test_references_of_what_goes_from_the_models_alone() -> None:
    before = [AUTHOR, POST]
    [stays] = audited(before, state(DeleteModel("Post")))
    assert (stays.code, stays.effect) == ("SZ010", "delete-model-relations")
    assert stays.when.startswith("From the rollout on, until it goes from the database")
    assert {"SZ010", "SZ011"} == {*codes(audited(before, state(REMOVE_AUTHOR)))}
    loose = AlterField(
        "post",
        "author",
        models.ForeignKey("blog.author", CASCADE, null=True, db_constraint=False),
    )
    assert not codes(audited([*before, loose], state(REMOVE_AUTHOR)))
    # Where SQL drops it after the rollout it stays until then.
    dropped = both(RunSQL("DROP TABLE blog_post", ""), DeleteModel("Post"))
    assert codes(audited(before, step(dropped))) == ["SZ010"]
    late = both(DeleteModel("Post"), DeleteModel("Post"))
    assert codes(audited(before, step(late))) == ["SZ010"]


REMOVE_AUTHOR = RemoveField("post", "author")


def test_what_goes_from_the_models_to_another_model_or_field() -> None:
    article = model("Article", author=models.ForeignKey("blog.author", CASCADE))
    article.options["db_table"] = "blog_post"
    delete = DeleteModel("Post")
    for steps_ in (
        [state(article, delete)],
        [state(delete, article)],
        [state(delete), state(article)],
        [state(article), state(delete)],
    ):
        assert not codes(audited([AUTHOR, POST], *steps_))
    assert not codes(audited([AUTHOR, POST, article], state(delete)))
    renamed = AddField(
        "post",
        "writer",
        models.ForeignKey("blog.author", CASCADE, db_column="author_id"),
    )
    assert not codes(audited([AUTHOR, POST], state(REMOVE_AUTHOR, renamed)))
    tags = model("Tag", posts=models.ManyToManyField("blog.post"))
    through = model(
        "TagPost",
        tag=models.ForeignKey("blog.tag", CASCADE),
        post=models.ForeignKey("blog.post", CASCADE),
    )
    before = [AUTHOR, POST, tags]
    remove = RemoveField("tag", "posts")
    assert codes(audited(before, state(remove))) == ["SZ010"]
    assert codes(audited(before, state(remove, through))) == ["SZ010"]
    through.options["db_table"] = "blog_tag_posts"
    assert not codes(audited(before, state(remove, through)))


def test_a_stage_that_cannot_be_told_is_always_breaking() -> None:
    """As "migrate --pre-deploy" refuses to run then."""
    add = AddField("author", "age", models.IntegerField(null=True))
    remove = RemoveField("author", "name")
    mixed = SeparateDatabaseAndState(
        [add, remove], [AlterField("author", "name", text(db_column="other"))]
    )
    assert breaking(audited([AUTHOR], step(mixed))) == {"SZ002"}
    wide, narrow = (
        models.DecimalField(max_digits=8, decimal_places=places) for places in (4, 2)
    )
    before = [model("Price", amount=wide)]
    for vendor in VENDORS:
        change = AlterField("price", "amount", narrow)
        found = audited(before, step(change), vendor=vendor)
        assert breaking(found) == {"SZ006"}
        found = audited(before, step(change, stage=Stage.PRE_DEPLOY), vendor=vendor)
        assert breaking(found) == ({"SZ006"} if vendor != "sqlite" else set())


def test_a_model_that_the_new_release_has_forgotten() -> None:
    removed = step(RemoveField("post", "title"), DeleteModel("Post"))
    assert not breaking(audited([AUTHOR, POST], removed))
    late = step(AlterField("post", "title", text(null=True)), stage=Stage.POST_DEPLOY)
    assert breaking(audited([AUTHOR, POST], late)) == {"SZ005"}
    assert not breaking(audited([AUTHOR, POST], late, step(DeleteModel("Post"))))


def test_a_constraint_in_place_of_another() -> None:
    unique = models.UniqueConstraint(fields=["name"], name="other")
    had = AlterField("author", "name", text(null=True, unique=True))
    early = step(AddConstraint("author", unique), stage=Stage.PRE_DEPLOY)
    assert breaking(audited([AUTHOR], early)) == {"SZ004"}
    assert not breaking(audited([AUTHOR, had], early))
    gone = step(AlterField("author", "name", text(null=True)), stage=Stage.POST_DEPLOY)
    assert breaking(audited([AUTHOR, had], gone)) == {"SZ005"}
    assert not breaking(audited([AUTHOR, had], early, gone))


def test_constraints_that_a_database_lacks() -> None:
    partial = models.UniqueConstraint(fields=["name"], name="u", condition=Q(id=1))
    early = step(AddConstraint("author", partial), stage=Stage.PRE_DEPLOY)
    assert breaking(audited([AUTHOR], early, vendor="postgresql")) == {"SZ004"}
    assert not breaking(audited([AUTHOR], early, vendor="mysql"))


def test_a_stage_that_is_none() -> None:
    found = audited([AUTHOR], step(DeleteModel("Author"), stage="sometime"))
    assert breaking(found) == {"SZ002"}
    renamed = step(RenameModel("Author", "Writer"))
    assert breaking(audited([AUTHOR], renamed)) == {"SZ006"}


def test_changes_in_python_alone_break_nothing() -> None:
    rename = both(RunSQL("SELECT 1", ""), RenameModel("Author", "Writer"))
    state_only = SeparateDatabaseAndState([], [RenameModel("Author", "Writer")])
    assert breaking(audited([AUTHOR], step(rename))) == {"SZ006"}
    assert not breaking(audited([AUTHOR], step(state_only)))


def test_stages_of_code_that_are_known() -> None:
    class Staged(RunSQL):
        stage = Stage.PRE_DEPLOY

    assert "SZ012" in codes(audited([AUTHOR], step(RunSQL("SELECT 1", ""))))
    assert "SZ012" not in codes(audited([AUTHOR], step(Staged("SELECT 1", ""))))
    policy = Policy(override={APP: Stage.PRE_DEPLOY})
    overridden = audited([], step(RunSQL("SELECT 1", "")), policy=policy, app_label=APP)
    assert not codes(overridden)


def test_a_stage_that_state_operations_tell_is_no_assumption() -> None:
    add = AddField("author", "note", text(null=True))
    told = both(RunSQL("ALTER TABLE blog_author ADD note text", ""), add)
    assert not codes(audited([AUTHOR], step(told)))
    wrapped = SeparateDatabaseAndState([told])
    assert not codes(audited([AUTHOR], step(wrapped)))
    options = AlterModelOptions("author", {"ordering": ["id"]})
    untold = both(RunSQL("SELECT 1", ""), options)
    assert codes(audited([AUTHOR], step(untold))) == ["SZ012"]


def test_operations_of_a_kind_that_no_rule_covers() -> None:
    class Refresh(Operation):
        def state_forwards(self, app_label: str, state: Any) -> None:
            pass

        def describe(self) -> str:
            return "Refresh"

    class Staged(Refresh):
        stage = Stage.POST_DEPLOY

    def about(*operations: Operation, **attributes: Any) -> list[Finding]:
        found = audited([AUTHOR], step(*operations, **attributes))
        return [finding for finding in found if finding.code == "SZ012"]

    [early] = about(Refresh())
    assert early.title.startswith('"Refresh" runs before the rollout, because nobody')
    assert f"{__name__}.{Refresh.__qualname__}" in early.why
    assert_is_worded_well(early)
    # It goes along with the others.
    [late] = about(Refresh(), RemoveField("author", "name"))
    assert late.title.startswith('"Refresh" runs after the rollout')
    assert late.when.startswith("From the rollout on")
    assert_is_worded_well(late)
    assert not about(Staged())
    assert not about(Refresh(), stage=Stage.PRE_DEPLOY)
    assert not about(both(RunSQL("", ""), Refresh()))


def _touch(rows: Any) -> None:
    del rows


def test_a_field_of_a_parent_is_filled_through_a_child() -> None:
    poet = CreateModel(
        "Poet", [("id", models.AutoField(primary_key=True))], bases=("blog.author",)
    )
    age = AddField("author", "age", models.IntegerField(null=True))
    found = audited(
        [AUTHOR, age, poet],
        step(Backfill("poet", "age", 1), atomic=False),
        step(AlterField("author", "age", models.IntegerField())),
    )
    assert "SZ022" not in codes(found)


def test_a_field_is_filled_through_a_proxy() -> None:
    poet = CreateModel("Poet", [], {"proxy": True}, ("blog.author",))
    age = AddField("author", "age", models.IntegerField(null=True))
    tightened = step(AlterField("author", "age", models.IntegerField()))

    def found(name: str) -> list[str]:
        fill = step(Backfill("poet", name, 1), atomic=False)
        return codes(audited([AUTHOR, age, poet], fill, tightened))

    assert "SZ022" not in found("age")
    assert "SZ022" in found("name")


def test_a_new_field_that_becomes_not_null() -> None:
    def found(*steps_: dict[str, Any], before: Any = (AUTHOR,)) -> set[str]:
        return breaking(audited(before, *steps_))

    add = step(AddField("author", "age", models.IntegerField(null=True)))
    tighten = step(AlterField("author", "age", models.IntegerField()))
    fill = RunPython(lambda apps, editor: None, RunPython.noop)
    late = {"stage": Stage.POST_DEPLOY}
    assert found(add, tighten) == {"SZ022"}
    assert found(add, step(fill), tighten) == {"SZ022"}
    assert found(add, step(RunSQL("UPDATE x SET y = 1", "")), tighten) == {"SZ022"}
    assert not found(add, step(fill, **late), tighten)
    assert not found(add, step(RunSQL("SELECT 1", ""), **late), tighten)
    assert not found(add, step(fill, *tighten["operations"], **late))
    assert found(add, step(*tighten["operations"], fill, **late)) == {"SZ022"}
    # The running release knows the field, or not even the model.
    known = [AUTHOR, *add["operations"]]
    assert not found(tighten, before=known)
    assert "SZ022" in codes(audited(known, tighten))
    assert "SZ022" not in codes(audited(known, step(fill, **late), tighten))
    assert "SZ022" not in codes(audited_alone(known, tighten))
    # A back-fill fills its own field, but where it is given the rows.
    with_note = [*known, AddField("author", "note", text(null=True))]
    for fills, is_filled in (
        (Backfill("author", "age", 1), True),
        (Backfill("Author", "age", 1), True),
        (Backfill("author", "note", ""), False),
        (Backfill("author", "note", update=_touch), True),
    ):
        for steps_ in (
            [step(fills, atomic=False), tighten],
            [step(fills, *tighten["operations"], atomic=False)],
        ):
            assert ("SZ022" in codes(audited(with_note, *steps_))) is not is_filled
    assert found(add, step(Backfill("author", "name", "x"), atomic=False), tighten) == {
        "SZ022"
    }
    assert not found(add, step(Backfill("author", "age", 1), atomic=False), tighten)
    assert not found(step(AUTHOR), add, tighten, before=[])
    # A constraint has refused NULL all along, or no longer than that.
    proof = AddConstraint(
        "author", models.CheckConstraint(condition=Q(age__isnull=False), name="p")
    )
    assert not audited([*known, proof], tighten)
    either = Q(age__isnull=False) | Q(name="")
    other = models.CheckConstraint(condition=either, name="o")
    for before in (known, [*known, AddConstraint("author", other)]):
        assert {"SZ018", "SZ022"} <= {*codes(audited(before, tighten))}
    late_proof = step(proof, **late)
    assert codes(audited(known, late_proof, tighten)) == ["SZ018", "SZ022"]
    # Django fills it.
    for field in (models.IntegerField(default=1), models.IntegerField(db_default=1)):
        assert not found(add, step(AlterField("author", "age", field)))
    # But not with values that differ, unless the database computes them.
    key = step(AddField("author", "key", models.UUIDField(null=True)))

    def unique(**default: Any) -> dict[str, Any]:
        return step(
            AlterField("author", "key", models.UUIDField(unique=True, **default))
        )

    assert found(key, unique(default=uuid.uuid4)) == {"SZ022"}

    def remedy(*steps_: dict[str, Any]) -> str:
        found = audited([AUTHOR], *steps_)
        return next(finding.remedy for finding in found if finding.code == "SZ022")

    # What fills it is told, where that is known.
    whole = remedy(key, unique(default=uuid.uuid4))
    assert "right before this one:\n" in whole
    assert whole.endswith(
        "\n    import syzygy.operations\n    import uuid\n    atomic = False\n"
        "    syzygy.operations.Backfill(\n        model_name='author',\n"
        "        name='key',\n        value=uuid.uuid4,\n    )"
    )
    for each in ([key, unique(default=lambda: uuid.UUID(int=1))], [add, tighten]):
        told = remedy(*each)
        assert 'where "value" stands for what the rows get:\n' in told
        assert re.search(r"\[Backfill\('author', '(key|age)', value\)\]$", told)
    assert not found(key, unique(db_default=Func(function="gen_random_uuid")))
    note = step(AddField("author", "note", text(null=True)))
    blank = AlterField("author", "note", text(blank=True))
    assert not found(note, step(blank))
    assert found(note, step(AlterField("author", "note", text()))) == {"SZ022"}
    # The database does.
    kept = step(AddField("author", "age", models.IntegerField(null=True, db_default=1)))
    assert not found(kept, step(AlterField("author", "age", models.IntegerField())))


def test_transactions_that_write_and_alter() -> None:
    add = AddField("author", "age", models.IntegerField(null=True))
    fill = RunPython(lambda apps, editor: None, RunPython.noop)
    own = RunPython(lambda apps, editor: None, RunPython.noop, atomic=False)
    update = RunSQL("UPDATE blog_author SET age = 1", "")
    look = RunSQL("SELECT 1", "")

    def by_sql(action: str, *before: str) -> RunSQL:
        return RunSQL([*before, f"ALTER TABLE blog_author {action}"])

    create = model("Note", text=text())
    for operations, mixed in (
        ([add, fill], True),
        ([add, update], True),
        # To say so of the code alone takes it out of no transaction.
        ([add, own], True),
        ([add, look], False),
        # By SQL, too, be it all one text.
        ([by_sql("ADD COLUMN age int"), fill], True),
        ([by_sql("ALTER age SET NOT NULL", "UPDATE blog_author SET age = 1")], True),
        ([by_sql("DROP COLUMN age"), fill], True),
        ([by_sql("VALIDATE CONSTRAINT c"), fill], False),
        ([RunSQL("ALTER TABLE other ADD COLUMN age int"), fill], False),
        ([create, RunSQL("ALTER TABLE blog_note ADD COLUMN age int"), fill], False),
        ([create, fill], False),
        (
            [create, AddField("note", "age", models.IntegerField(null=True)), fill],
            False,
        ),
    ):
        found = codes(audited([AUTHOR], step(*operations, stage=Stage.PRE_DEPLOY)))
        assert ("SZ016" in found) == mixed, operations
    apart = step(add, fill, stage=Stage.PRE_DEPLOY, atomic=False)
    assert "SZ016" not in codes(audited([AUTHOR], apart))


def test_what_takes_no_transaction() -> None:
    operations = pytest.importorskip("django.contrib.postgres.operations")

    class Own(operations.RemoveIndexConcurrently):  # type: ignore[misc, name-defined]
        pass

    name = models.Index(fields=["name"], name="i")
    add = operations.AddIndexConcurrently("author", name)
    for operation in (add, Own("author", "i"), SeparateDatabaseAndState([add], [add])):
        assert breaking(audited([AUTHOR], step(operation))) == {"SZ023"}
        assert not breaking(audited([AUTHOR], step(operation, atomic=False)))
        assert not breaking(audited([AUTHOR], step(operation), vendor="sqlite"))
    # What SQL does is told by the state that comes with it, but not how.
    sql = "CREATE INDEX CONCURRENTLY i ON blog_author (name)"
    told = RunSQL([sql, f"{sql};"], state_operations=[AddIndex("author", name)])
    [refused] = [f for f in audited([AUTHOR], step(told)) if f.is_breaking]
    assert (refused.code, refused.stage) == ("SZ023", Stage.PRE_DEPLOY)
    assert codes(audited([AUTHOR], step(told, atomic=False))) == ["SZ015"]
    text_of_two = RunSQL("VACUUM blog_author; SELECT 1", "")
    [found] = [
        each
        for each in audited([AUTHOR], step(text_of_two, atomic=False))
        if each.is_breaking
    ]
    assert "together with other statements" in found.title
    assert_is_worded_well(found)


def test_a_constraint_that_is_checked_under_its_lock() -> None:
    operations = pytest.importorskip("django.contrib.postgres.operations")
    check = models.CheckConstraint(condition=~Q(name=""), name="named")
    add = operations.AddConstraintNotValid("Author", check)
    validate = operations.ValidateConstraint("author", "named")
    late = {"stage": Stage.POST_DEPLOY}
    assert codes(audited([AUTHOR], step(add, validate, **late))) == ["SZ018"]
    assert not audited([AUTHOR], step(add, validate, atomic=False, **late))
    assert not audited([AUTHOR], step(add, **late), step(validate, **late))
    assert not audited([], step(AUTHOR, add, validate))


def test_what_the_remedies_propose() -> None:
    def remedy(operation: Operation, code: str, vendor: str = "postgresql") -> str:
        before = [
            AUTHOR,
            POST,
            model("Note", body=models.TextField(), key=text(unique=True)),
            model("Book", pages=models.IntegerField()),
        ]
        found = audited(before, step(operation), vendor=vendor)
        return next(f.remedy for f in found if f.code == code)

    def add(field: Any) -> str:
        return remedy(AddField("post", "extra", field), "SZ007")

    assert "db_default=0" in add(models.IntegerField(default=0))
    assert "db_default=''" in add(text(blank=True))
    now = add(models.DateTimeField(auto_now=True))
    assert "db_default=django.db.models.functions.datetime.Now()" in now
    assert "    import django.db.models.functions.datetime" in now
    assert "null=True" in add(models.UUIDField(default=uuid.uuid4))
    unique = add(models.IntegerField(unique=True, default=0))
    assert "default=0, null=True, unique=True" in unique
    assert "db_default" not in unique
    removed = remedy(RemoveField("note", "body"), "SZ009")
    assert "db_default=''" in removed
    assert "stage = Stage.PRE_DEPLOY" in removed
    assert "null=True" in remedy(RemoveField("note", "body"), "SZ009", "mysql")
    assert "null=True" in remedy(RemoveField("note", "key"), "SZ009")
    assert "db_constraint=False" in remedy(RemoveField("post", "author"), "SZ010")
    bigger = AlterField("book", "pages", models.BigIntegerField())
    assert "name='new_pages'" in remedy(bigger, "SZ017")


def test_what_is_proposed_instead_of_what_no_stage_suits() -> None:
    """It can be pasted, and breaks nothing."""
    post = model("Post", title=text(), author=models.ForeignKey("blog.author", CASCADE))
    before = [AUTHOR, post]
    to_post = models.ForeignKey("blog.post", CASCADE)
    for operation, expected in (
        (RenameField("post", "title", "name"), "db_column='title'"),
        (RenameField("post", "author", "writer"), "db_column='author_id'"),
        (RenameModel("Post", "Essay"), "table='blog_post'"),
        (AlterField("post", "title", models.IntegerField()), "name='new_title'"),
        (AlterField("post", "author", to_post), "name='new_author'"),
    ):
        found = audited(before, step(operation))
        [finding] = [each for each in found if each.code == "SZ006"]
        assert expected in finding.remedy
        lines = finding.remedy.split("\n    ")[1:]
        imports = [line for line in lines if line.startswith(("import ", "from "))]
        names: dict[str, Any] = {"migrations": migrations, "models": models}
        exec("\n".join(imports), names)
        pasted = eval(f"[{' '.join(lines[len(imports) :])}]", names)
        assert not breaking(audited(before, step(*pasted))), finding.remedy
        assert pasted


def test_each_migration_is_a_release_of_its_own() -> None:
    later = step(AddField("post", "extra", models.IntegerField(default=0)))
    assert not breaking(audited([AUTHOR], step(POST), later))
    assert breaking(audited_alone([AUTHOR], step(POST), later)) == {"SZ007"}
    assert not breaking(audited_alone([AUTHOR], step(POST, *later["operations"])))


@pytest.mark.parametrize("stage", [None, Stage.PRE_DEPLOY])
def test_what_comes_in_place_of_the_same_inside_of_one_operation(
    stage: Stage | None,
) -> None:
    options = {"unique_together": {("number", "size")}}
    integers = {"number": models.IntegerField(), "size": models.IntegerField()}
    pair = models.UniqueConstraint(fields=["number", "size"], name="pair")
    replaced = [AlterUniqueTogether("post", set()), AddConstraint("post", pair)]
    whole = RunSQL("SELECT 1", state_operations=replaced)
    attributes = {"stage": stage} if stage else {}
    found = audited([model("Post", (), options, **integers)], step(whole, **attributes))
    assert breaking(found) == set()
