"""The formats of an audit for services: what they take for text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import hypothesis
import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt

from syzygy import Stage
from syzygy.audit.catalogue import all_rules, page_of
from syzygy.audit.findings import Audit, Finding, Planned, Severity, Suppressed
from syzygy.audit.formats import github, gitlab, markdown, sarif
from syzygy.locations import Location
from syzygy.management import audit_report
from tests.properties import examples

SCHEMA = json.loads(
    (Path(__file__).parent / "data/sarif-2.1.0.json").read_text(encoding="utf-8")
)
BREAKING = Finding(
    code="SZ004",
    name="breaks-running-release",
    title='Removing "title" breaks the running release',
    severity=Severity.BREAKING,
    app_label="blog",
    migration="0002_remove",
    stage=Stage.PRE_DEPLOY,
    position=0,
    operation="Remove field title from post",
    location=Location("blog/migrations/0002_remove.py", 7),
    what="It selects the column.",
    when="Until it is gone.",
    why="Django names all columns.",
    remedy="Wait for it:\n    from syzygy import Stage\n    stage = Stage.POST_DEPLOY",
    effect="remove-field",
    sql=('ALTER TABLE "blog_post" DROP COLUMN "title"',),
)
# Of no file and no rule that comes with the app.
OWN = Finding(
    code="ACME1",
    name="of-our-own",
    title="Nobody does that",
    severity=Severity.WARNING,
    app_label="shop",
)
SUPPRESSED = BREAKING._replace(code="SZ016", migration="0003_more")
AUDIT = Audit(
    scope='the pending migrations of "default"',
    vendor="postgresql",
    plan=(
        Planned("blog", "0004_late", Stage.POST_DEPLOY, "it removes a field"),
        Planned("blog", "0002_remove", Stage.PRE_DEPLOY, "the class says so"),
        Planned("shop", "0001_initial", None, "", ("blog.0002_remove", "auth.0001")),
    ),
    findings=(BREAKING, OWN),
    suppressed=(
        Suppressed(SUPPRESSED, "known", Location("blog/migrations/0003_more.py", 3)),
        Suppressed(OWN),
    ),
)

# What means something to one of the formats.
HOSTILE = st.text(
    st.sampled_from(
        "a0_ -+.,:;/|\\`~*<>&\"'#@!$%[](){}\n\r\t\0\x1b\u202e\u2028é\udcff="
    )
)
FINDINGS = st.builds(
    Finding,
    code=st.sampled_from(["SZ004", "SZ012", "ACME1"]),
    name=HOSTILE,
    title=HOSTILE,
    severity=st.sampled_from(Severity),
    app_label=HOSTILE,
    migration=HOSTILE,
    stage=st.sampled_from([*Stage, None]),
    operation=HOSTILE,
    location=st.builds(
        Location, HOSTILE.map(lambda t: t.replace("\0", "")), st.just(1)
    ),
    what=HOSTILE,
    remedy=HOSTILE | HOSTILE.map("x:\n    {}".format),
    sql=st.tuples(HOSTILE),
)
AUDITS = st.builds(
    Audit,
    scope=HOSTILE,
    vendor=st.just("sqlite"),
    plan=st.lists(
        st.builds(
            Planned, HOSTILE, HOSTILE, st.sampled_from([*Stage, None]), reason=HOSTILE
        ),
        max_size=3,
    ).map(tuple),
    findings=st.lists(FINDINGS, max_size=3).map(tuple),
    suppressed=st.lists(st.builds(Suppressed, FINDINGS, HOSTILE), max_size=2).map(
        tuple
    ),
)
# Of the elements that the markdown is made of.
TAGS = {"h3", "h4", "p", "strong", "code", "pre", "ul", "li"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
FEW = hypothesis.settings(max_examples=examples(40))


@pytest.fixture
def subfolder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of a repository the current one."""
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    folder = tmp_path / "back end"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


# GitHub


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Return the commands that GitHub's runner reads from what it is given."""
    found = []
    for line in re.split("\r\n|\r|\n", text):
        if match := re.fullmatch(r"::(\w+) (.*?)::(.*)", line):
            properties = dict(part.split("=", 1) for part in match[2].split(","))
            values = {name: unescape(value) for name, value in properties.items()}
            found.append((match[1], values, unescape(match[3])))
    return found


def unescape(text: str) -> str:
    for code, mark in (
        ("0D", "\r"),
        ("0A", "\n"),
        ("3A", ":"),
        ("2C", ","),
        ("25", "%"),
    ):
        text = text.replace(f"%{code}", mark)
    return text


def test_github() -> None:
    text = github.render(AUDIT)
    assert text.split("\n")[-1] == (
        "1 breaking finding, 1 warning, 2 suppressed, in the pending migrations of "
        '"default".'
    )
    (kind, values, said), (other, _, of_an_app) = commands(text)
    assert (kind, other) == ("error", "warning")
    assert of_an_app == "Nobody does that.\nApp: shop"
    assert values == {
        "file": "blog/migrations/0002_remove.py",
        "line": "7",
        "title": "SZ004 breaks-running-release",
    }
    assert said.startswith('Removing "title" breaks the running release.\n')
    assert "Migration: blog.0002_remove, pre-deploy\n" in said
    assert "Instead: Wait for it:\n    from syzygy import Stage\n" in said


def test_github_when_nothing_was_found() -> None:
    assert github.render(Audit("a", "sqlite")) == "Nothing to audit in a."


def commands_in_the_log(text: str) -> list[str]:
    """Return what the runner of GitHub takes for commands in what a step prints."""
    lines = [line.lstrip() for line in re.split("\r\n|\r|\n", text)]
    return [line for line in lines if re.match("::.*::", line)]


PWN = "\n::error file=x::pwn"
# At the end of a line of the terminal, so that what follows begins the next one.
LATE = f"{'a' * 60} {'b' * 15} ::stop-commands::pwn"
HOSTILE_FINDING = BREAKING._replace(
    title=f"A{PWN}",
    migration=f"0002_\udcff\x1b[31m{PWN}",
    operation=f"B{PWN}",
    location=Location(f"0002_\udcff{PWN}.py", 1),
    what=LATE,
    when=f"C{PWN}",
    why=f"D\r::error ::pwn{PWN}",
    remedy=f"E\n    {PWN}\n    x",
    sql=(f"SELECT{PWN}", "SELECT a\n  ::int"),
)


def test_no_log_has_a_command_that_is_not_ours() -> None:
    audit = replace(AUDIT, scope=f"x{PWN}", findings=(HOSTILE_FINDING,))
    out = StringIO()
    audit_report.write(audit, OutputWrapper(out), no_style())
    text = out.getvalue()
    assert commands_in_the_log(text) == []
    assert "\x1b" not in text
    assert text.startswith("BREAKING SZ004 blog.0002_\\udcff\\x1b[31m\\n::error file")
    assert "::int" in text
    told = github.render(audit)
    assert len(commands_in_the_log(told)) == len(commands(told)) == 1
    assert commands_in_the_log(markdown.render(audit)) == []
    # Each of these can be written, whatever the encoding can't.
    for rendered in (text, told, markdown.render(audit)):
        assert rendered.encode()
    assert json.loads(gitlab.render(audit))[0]["location"]["path"].endswith(f"{PWN}.py")
    log(audit)


@FEW
@given(AUDITS)
def test_github_takes_nothing_for_a_command(audit: Audit) -> None:
    text = github.render(audit)
    assert len(commands(text)) == len(audit.findings)
    assert len(text.splitlines()) >= len(audit.findings) + 1
    for finding, (_, values, said) in zip(audit.findings, commands(text), strict=True):
        title = f"{finding.code} {finding.name}"
        assert values["title"] == title.encode(errors="backslashreplace").decode()
        text = finding.title.encode(errors="backslashreplace").decode()
        assert said.startswith(f"{text}.\n")


def test_paths_are_those_of_the_repository(subfolder: Path) -> None:
    """Rather than of the folder that the command happens to be run in."""
    elsewhere = BREAKING._replace(location=Location("/else/0001.py", 2))
    above = BREAKING._replace(location=Location(f"{subfolder.parent}/lib/0001.py", 3))
    audit = replace(AUDIT, findings=(BREAKING, elsewhere, above))
    paths = [
        "back end/blog/migrations/0002_remove.py",
        "/else/0001.py",
        "lib/0001.py",
    ]
    assert [values["file"] for _, values, _ in commands(github.render(audit))] == paths
    report = json.loads(gitlab.render(audit))
    assert [issue["location"]["path"] for issue in report] == paths
    results = json.loads(sarif.render(audit))["runs"][0]["results"][:3]
    artifacts = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]
        for result in results
    ]
    assert [unquote(artifact["uri"]) for artifact in artifacts] == [
        paths[0],
        "file:///else/0001.py",
        paths[2],
    ]
    assert ["uriBaseId" in artifact for artifact in artifacts] == [True, False, True]
    assert "`back end/blog/migrations/0002_remove.py:7`" in markdown.render(audit)


# GitLab


def test_gitlab() -> None:
    breaking, own = json.loads(gitlab.render(AUDIT))
    assert breaking == {
        "description": (
            "blog.0002_remove, pre-deploy: "
            'Removing "title" breaks the running release. It selects the column.'
        ),
        "check_name": "SZ004",
        "fingerprint": breaking["fingerprint"],
        "severity": "critical",
        "location": {
            "path": "blog/migrations/0002_remove.py",
            "lines": {"begin": 7},
        },
    }
    assert own["severity"] == "minor"
    # It has none, and GitLab wants one.
    assert own["location"] == {"path": ".", "lines": {"begin": 1}}


def test_what_has_no_place_is_shown_in_the_settings() -> None:
    audit = replace(AUDIT, findings=(OWN,))
    with override_settings(SETTINGS_MODULE="tests.settings"):
        (command,) = commands(github.render(audit))
        (issue,) = json.loads(gitlab.render(audit))
    assert (command[1]["file"], command[1]["line"]) == ("tests/settings.py", "1")
    assert issue["location"] == {"path": "tests/settings.py", "lines": {"begin": 1}}
    assert "file" not in commands(github.render(audit))[0][1]


def test_fingerprints() -> None:
    """Lines move; findings come and go, and may be alike."""

    def ids(*findings: Finding) -> list[str]:
        report = json.loads(gitlab.render(replace(AUDIT, findings=findings)))
        return [issue["fingerprint"] for issue in report]

    moved = BREAKING._replace(location=Location("blog/migrations/0002_remove.py", 9))
    first, second, other = ids(BREAKING, BREAKING, OWN)
    assert len({first, second, other}) == 3
    assert ids(OWN, moved) == [other, first]
    assert ids(BREAKING._replace(migration="0003")) != [first]
    results = json.loads(sarif.render(AUDIT))["runs"][0]["results"]
    assert results[0]["partialFingerprints"] == {"syzygy/v1": first}


# SARIF


def log(audit: Audit) -> dict[str, Any]:
    """Return the run of a log that keeps to the schema."""
    document = json.loads(sarif.render(audit))
    Draft202012Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    assert isinstance(run, dict)
    return run


def test_the_schema_refuses_what_it_should() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    document = json.loads(sarif.render(AUDIT))
    result = document["runs"][0]["results"][0]
    for key, value in (
        ("level", "breaking"),
        ("message", "text"),
        ("location", {}),
        ("ruleIndex", -2),
        ("locations", [{"physicalLocation": {"region": {"startLine": 0}}}]),
    ):
        document["runs"][0]["results"] = [result | {key: value}]
        assert not Draft202012Validator(SCHEMA).is_valid(document), key


def test_sarif() -> None:
    run = log(AUDIT)
    driver = run["tool"]["driver"]
    assert driver["name"] == "Syzygy"
    rules = {rule["id"]: rule for rule in driver["rules"]}
    assert list(rules) == ["ACME1", "SZ004", "SZ016"]
    assert rules["SZ004"]["name"] == "breaks-running-release"
    assert ":doc:" in page_of(all_rules()["SZ004"])
    assert ":doc:" not in rules["SZ004"]["help"]["text"]
    assert "stage = Stage.POST_DEPLOY" in rules["SZ004"]["help"]["text"]
    assert rules["ACME1"]["shortDescription"] == {"text": "of-our-own"}
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    first = run["results"][0]
    assert first["level"] == "error"
    assert first["message"]["text"].startswith("Removing")
    assert first["properties"] == {
        "severity": "breaking",
        "stage": "pre_deploy",
        "operation": "Remove field title from post",
        "effect": "remove-field",
    }
    (location,) = first["locations"]
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "blog.0002_remove"
    assert location["physicalLocation"] == {
        "artifactLocation": {
            "uri": "blog/migrations/0002_remove.py",
            "uriBaseId": "%SRCROOT%",
        },
        "region": {"startLine": 7},
    }


def test_sarif_has_what_is_suppressed() -> None:
    results = log(AUDIT)["results"]
    assert [result.get("suppressions") for result in results[:2]] == [None, None]
    in_source, external = (result["suppressions"][0] for result in results[2:])
    assert in_source["kind"] == "inSource"
    assert in_source["justification"] == "known"
    assert in_source["location"]["physicalLocation"]["region"] == {"startLine": 3}
    assert external == {"kind": "external"}


def test_sarif_when_nothing_was_found() -> None:
    run = log(Audit("", "sqlite"))
    assert run["results"] == run["tool"]["driver"]["rules"] == []


@FEW
@given(AUDITS)
def test_sarif_of_anything(audit: Audit) -> None:
    run = log(audit)
    for result in run["results"]:
        physical = result["locations"][0].get("physicalLocation")
        uri = physical["artifactLocation"]["uri"] if physical else ""
        assert re.fullmatch(r"(file:///)?[\w.~%/-]*", uri, re.ASCII), uri


# Markdown


class _Elements(HTMLParser):
    """The text of a document, and of each element of some kinds."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.comments: list[str] = []
        self.texts: dict[str, list[str]] = {}
        # What isn't code.
        self.prose: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {f"{name}={value}" for name, value in attrs}
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data
        if "code" not in self._open:
            self.prose.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def rendered(text: str) -> _Elements:
    """Return what GitHub's flavour of Markdown makes of it."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return _Elements(parser.render(text))


def shown(text: str) -> str:
    """What is seen of a text in a line."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def cells(elements: _Elements) -> list[list[str]]:
    found = elements.texts.get("td", [])
    return [found[start : start + 4] for start in range(0, len(found), 4)]


def test_markdown() -> None:
    text = markdown.render(AUDIT)
    assert text.startswith(f"{markdown.MARK}\n\n### Audit of the migrations\n\n1 brea")
    elements = rendered(text)
    assert cells(elements) == [
        ["pre-deploy", "blog.0002_remove", "the class says so", "SZ004"],
        ["post-deploy", "blog.0004_late", "it removes a field", ""],
        ["none", "shop.0001_initial", "", ""],
    ]
    assert elements.texts["h4"] == [
        'SZ004 breaking: Removing "title" breaks the running release',
        "ACME1 warning: Nobody does that",
    ]
    graph, remedy, sql = elements.texts["pre"]
    assert graph == (
        "flowchart LR\n"
        '  subgraph pre["before the rollout"]\n'
        '    m0["blog.0002_remove"]\n'
        "  end\n"
        '  subgraph post["after the rollout"]\n'
        '    m1["blog.0004_late"]\n'
        "  end\n"
        '  subgraph unknown["in no stage"]\n'
        '    m2["shop.0001_initial"]\n'
        "  end\n"
        "  m0 --> m2\n"
        "  style m0 stroke:#d1242f,stroke-width:3px\n"
    )
    assert remedy == "from syzygy import Stage\nstage = Stage.POST_DEPLOY\n"
    assert sql == 'ALTER TABLE "blog_post" DROP COLUMN "title"\n'
    assert elements.texts["li"] == [
        "SZ016 of blog.0003_more at blog/migrations/0003_more.py:3: known",
        "ACME1 of shop in the settings",
    ]


def test_code_stays_in_its_block() -> None:
    remedy = "Paste:\n    ```\n    <b>x</b>\n    ````\nor:\n    y"
    finding = BREAKING._replace(remedy=remedy, sql=("```\n<b>",))
    elements = rendered(markdown.render(replace(AUDIT, plan=(), findings=(finding,))))
    assert "b" not in elements.tags
    assert elements.texts["pre"] == ["```\n<b>x</b>\n````\n", "y\n", "```\n<b>\n"]


def test_markdown_of_all_migrations_has_no_plan() -> None:
    elements = rendered(markdown.render(replace(AUDIT, is_release=False)))
    assert "table" not in elements.tags
    assert len(elements.texts["h4"]) == 2


def test_markdown_of_many() -> None:
    """What a comment has room for."""
    plan = tuple(Planned("blog", f"{n:04}_" + "x" * 40, None) for n in range(500))
    text = markdown.render(
        replace(
            AUDIT,
            plan=plan,
            findings=(BREAKING,) * 2000,
            suppressed=AUDIT.suppressed * 500,
        )
    )
    assert len(text) < 65_536
    elements = rendered(text)
    assert "mermaid" not in text
    assert cells(elements)[-1][1] == "and 400 more"
    left = 2000 - len(elements.texts["h4"])
    assert f"There are {left} more, which" in text
    assert "**Suppressed:** 1000" in text


@FEW
@given(AUDITS)
# A colon at the beginning is escaped, and that of an address is followed by nothing.
@example(Audit("a", "sqlite", plan=(Planned("a", "b", None, reason="://"),)))
def test_markdown_takes_nothing_for_markdown(audit: Audit) -> None:
    text = markdown.render(audit)
    text.encode()
    elements = rendered(text)
    assert elements.tags <= TAGS
    assert elements.attributes <= {"class=language-mermaid", "class=language-sql"}
    assert len(elements.comments) == 1
    assert len(elements.texts["h4"] if audit.findings else []) == len(audit.findings)
    for prose in elements.prose:
        assert not re.search(r"@(?!\u200b)|(?<!\u200b)://", prose)
    plan = sorted(audit.plan, key=lambda planned: [*Stage, None].index(planned.stage))
    for planned, (_, name, reason, _) in zip(plan, cells(elements), strict=True):
        assert name == shown(planned.label)
        assert reason.replace("\u200b", "") == shown(planned.reason)
    for finding, title in zip(
        audit.findings, elements.texts.get("h4", []), strict=True
    ):
        said = f"{finding.code} {finding.severity.value}: {shown(finding.title)}"
        assert title.replace("\u200b", "").strip() == said.strip()
    # Orders that GitLab takes from the beginning of a line.
    assert not re.search(r"^\s*/", outside_fences(text), re.MULTILINE)


def outside_fences(text: str) -> str:
    return re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)


@FEW
@given(st.lists(HOSTILE, min_size=1, max_size=3))
def test_a_graph_is_a_graph(names: list[str]) -> None:
    plan = tuple(Planned("app", name, Stage.PRE_DEPLOY) for name in names)
    text = markdown.render(replace(AUDIT, plan=plan, findings=()))
    (graph,) = re.findall(r"^```mermaid\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    first, begin, *nodes, end = graph.splitlines()
    assert (first, end) == ("flowchart LR", "  end")
    assert begin == '  subgraph pre["before the rollout"]'
    labels = [
        re.fullmatch(r'    m\d+\["((?:[\w.]|#\d+;)*)"\]', node, re.ASCII)
        for node in nodes
    ]
    assert [
        re.sub(r"#(\d+);", lambda m: chr(int(m[1])), label[1]) if label else None
        for label in labels
    ] == [shown(planned.label) for planned in plan]
