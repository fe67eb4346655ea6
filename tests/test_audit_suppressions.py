"""Comments that suppress findings: where they may stand, and which are in vain."""

from __future__ import annotations

import ast

import pytest

from syzygy.audit.findings import Finding, Severity
from syzygy.audit.suppressions import Sieve, placed, read
from syzygy.locations import Definition, Location, _lines

SOURCE = """
# {above}
class Migration(m.Migration):  # {at}
    dependencies = []  # {aside}
    operations = [
        # {first}
        m.RunSQL("a"),
        m.RunSQL(
            "# {string}",
            # {inside}
        ),  # {after}
        m.RunSQL("c"), m.RunSQL("d"),  # {both}
        # {last}
    ]
"""


def source(**comments: str) -> Definition:
    """A file with comments at some of the places."""
    names = ("above", "at", "aside", "first", "string", "inside", "after", "both")
    text = SOURCE.format(**{n: comments.get(n, "-") for n in (*names, "last")})
    tree = ast.parse(text)
    node = tree.body[0]
    assert isinstance(node, ast.ClassDef)
    return Definition("0002.py", text.encode(), node.lineno, tuple(_lines(node)))


def finding(position: int | None, code: str = "SZ007") -> Finding:
    return Finding(
        code,
        "a-rule",
        "A title",
        Severity.BREAKING,
        "blog",
        "0002_next",
        position=position,
    )


def left(
    definition: Definition,
    *findings: Finding,
    ignored: dict[str, list[str]] | None = None,
    known: tuple[str, ...] = ("SZ000", "SZ007", "SZ012", "SZ019"),
    active: tuple[str, ...] = ("SZ000", "SZ007", "SZ012"),
) -> list[tuple[str, int | None]]:
    """The codes and positions of the findings that nothing suppresses."""
    sieve = Sieve(ignored or {}, known, active)
    sifted = sieve.sift(findings, read(definition), "blog.0002_next", "blog")
    return [(each.code, each.position) for each in sifted]


IGNORE = "syzygy: ignore[SZ007] a reason"
EVERY = [finding(position) for position in range(4)]


@pytest.mark.parametrize(
    ("place", "covered"),
    [
        ("above", {0, 1, 2, 3}),
        ("at", {0, 1, 2, 3}),
        ("first", {0}),
        ("inside", {1}),
        ("after", {1}),
        ("both", {2, 3}),
    ],
)
def test_where_a_comment_may_stand(place: str, covered: set[int]) -> None:
    found = left(source(**{place: IGNORE}), *EVERY)
    assert {position for _, position in found} == {0, 1, 2, 3} - covered


@pytest.mark.parametrize("place", ["aside", "last"])
def test_where_it_means_nothing(place: str) -> None:
    assert left(source(**{place: IGNORE}), *EVERY) == [
        *(("SZ007", position) for position in range(4)),
        ("SZ000", None),
    ]


def test_a_string_is_no_comment() -> None:
    assert len(left(source(string=IGNORE), *EVERY)) == 4


def test_a_finding_about_the_whole_migration() -> None:
    assert left(source(at=IGNORE), finding(None)) == []
    assert left(source(first=IGNORE), finding(None)) == [
        ("SZ007", None),
        ("SZ000", None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "syzygy: ignore",
        "syzygy: ignore[]",
        "syzygy: noqa",
        "syzygy: ignore SZ007",
        "syzygy: ignore[SZ999]",
        "syzygy: ignore[SZ012]",
    ],
)
def test_what_suppresses_nothing_is_reported(text: str) -> None:
    assert left(source(first=text), finding(0)) == [("SZ007", 0), ("SZ000", None)]


def test_several_codes_each_of_which_has_to_serve() -> None:
    definition = source(first="syzygy: ignore[SZ007, SZ012] both")
    assert left(definition, finding(0), finding(0, "SZ012")) == []
    assert left(definition, finding(0)) == [("SZ000", None)]


def test_a_rule_of_another_database_is_left_alone() -> None:
    assert left(source(first="syzygy: ignore[SZ019]")) == []


def test_the_settings() -> None:
    for key in ("*", "blog", "blog.0002_next"):
        for code in ("*", "SZ007"):
            assert left(source(), finding(0), ignored={key: [code]}) == []
    others = {"shop": ["SZ007"], "blog.0003_next": ["*"], "blog": ["SZ012"]}
    assert left(source(), finding(0), ignored=others) == [("SZ007", 0)]
    # A comment in vain is a finding like any other.
    stale = source(first="syzygy: ignore[SZ012]")
    assert left(stale, ignored={"blog": ["SZ000"]}) == []


def test_what_is_left_out_is_kept() -> None:
    sieve = Sieve({"blog": ["SZ012"]}, {"SZ007", "SZ012"}, {"SZ007", "SZ012"})
    definition = source(first=IGNORE)
    found = [finding(0), finding(0, "SZ012")]
    assert not list(sieve.sift(found, read(definition), "blog.0002_next", "blog"))
    comment, setting = sieve.suppressed
    assert (comment.finding.code, comment.reason) == ("SZ007", "a reason")
    assert comment.location == Location("0002.py", 6)
    assert setting.reason == 'SYZYGY_AUDIT["IGNORE"]["blog"]'


def test_idle_settings() -> None:
    ignored = {"blog": ["SZ007", "SZ012", "SZ019"], "shop": ["*"]}
    sieve = Sieve(ignored, {"SZ007"}, {"SZ007", "SZ012"})
    list(sieve.sift([finding(0)], ()))
    assert [each.title for each in sieve.idle_settings()] == [
        f'The setting "SYZYGY_AUDIT" ignores "{code}" for "{key}", where there is no '
        "such finding"
        for key, code in (("blog", "SZ012"), ("shop", "*"))
    ]


def test_places() -> None:
    definition = source()
    assert placed(finding(1), definition).location == Location("0002.py", 8)
    assert placed(finding(None), definition).location == Location("0002.py", 3)
    assert placed(finding(9), definition).location == Location("0002.py", 3)


def test_a_file_that_is_none() -> None:
    broken = Definition("0002.py", b"x = (  # syzygy: ignore[SZ007]\n", 1)
    assert left(broken) in ([], [("SZ000", None)])
    assert read(Definition()) == []
