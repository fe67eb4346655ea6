"""Each rule of the audit finds the bad example of its page, and passes the good one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db.migrations import CreateModel
from django.db.migrations.operations.base import Operation

from syzygy.audit.base import AuditRule
from syzygy.audit.catalogue import all_rules, page_of
from syzygy.audit.explain import as_text, explain
from syzygy.audit.findings import Finding
from tests.audit_helpers import audited, codes
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
    created = [step for step in shop if isinstance(step, CreateModel)]
    release = [{"operations": created}, *steps("SZ006", "Bad"), *steps("SZ007", "Bad")]
    found = audited([], *release, app_label=APP)
    assert not [finding for finding in found if finding.is_breaking]
