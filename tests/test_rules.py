"""The catalogue, against what each operation does to a rolling deployment."""

from __future__ import annotations

from typing import Any

import pytest

from syzygy import Stage, rules
from syzygy.rules import Rule, catalogue

# "pre" and "post" are required, in brackets preferred; a "!" says that something breaks
# all the same; "never" that no order is safe; "none" that nothing happens.
EXPECTED = {
    "state-only": "none",
    "unseen": "(pre)",
    "unseen-needed": "pre",
    "unknown": "(pre)",
    "declared-pre": "pre",
    "declared-post": "post",
    "create-model": "pre",
    "delete-model": "post",
    "delete-model-relations": "post!",
    "rename-model": "never",
    "rename-model-m2m": "never",
    "alter-model-table": "never",
    "alter-comment": "(pre)",
    "add-order": "pre!",
    "remove-order": "post!",
    "add-field": "pre",
    "add-field-null-default": "pre!",
    "add-field-db-default": "pre",
    "add-field-not-null": "pre!",
    "add-field-implicit-default": "pre!",
    "add-field-callable-default": "pre!",
    "add-field-unique": "pre",
    "add-field-unique-not-null": "pre!",
    "add-field-relation": "pre",
    "add-field-generated": "pre",
    "add-field-m2m": "pre",
    "remove-field": "post",
    "remove-field-not-null": "post!",
    "remove-field-unique": "post!",
    "remove-field-constrained": "post!",
    "remove-field-relation": "post!",
    "remove-field-m2m": "post!",
    "remove-field-generated": "post",
    "set-not-null": "post",
    "drop-not-null": "pre",
    "widen-type": "pre",
    "narrow-type": "post",
    "change-type": "never",
    "change-target": "never",
    "widen-primary-key": "(pre)",
    "narrow-primary-key": "(post)",
    "change-primary-key": "never",
    "change-generated": "never",
    "change-m2m": "never",
    "rename-column": "never",
    "add-unique": "post",
    "drop-unique": "pre",
    "add-db-default": "pre",
    "drop-db-default": "post",
    "change-db-default": "(pre)",
    "add-db-index": "(pre)",
    "drop-db-index": "(post)",
    "add-db-constraint": "post",
    "drop-db-constraint": "pre",
    "add-on-delete": "pre",
    "drop-on-delete": "post",
    "change-collation": "(pre)",
    "alter-unknown": "(pre)",
    "add-index": "pre",
    "remove-index": "(post)",
    "rename-index": "(pre)",
    "add-constraint": "post",
    "remove-constraint": "pre",
    "replace-constraint": "(pre)",
    "validate-constraint": "(post)",
    "add-unique-together": "post",
    "remove-unique-together": "pre",
    "run-sql": "pre",
    "run-sql-drop": "post",
    "run-sql-rename": "never",
    "run-python": "pre",
    "backfill": "post",
    "create-extension": "pre",
    "create-collation": "pre",
    "remove-collation": "post",
}


def summary(rule: Rule) -> str:
    if not rule.stageable:
        return "never"
    if rule.required:
        return rule.required.value.removesuffix("_deploy") + "!" * rule.split
    if rule.preferred:
        return f"({rule.preferred.value.removesuffix('_deploy')})"
    return "none"


def test_what_each_rule_requires() -> None:
    assert {code: summary(rule) for code, rule in catalogue().items()} == EXPECTED


RULES = pytest.mark.parametrize("rule", catalogue().values(), ids=catalogue().keys())


def test_no_rule_has_the_code_of_another() -> None:
    defined = [value for value in vars(rules).values() if isinstance(value, Rule)]
    assert {rule.code: rule for rule in defined} == catalogue()
    assert len(defined) == len(catalogue())


@RULES
def test_a_rule_makes_sense(rule: Rule) -> None:
    assert catalogue()[rule.code] is rule
    assert not (rule.required and rule.preferred)
    assert rule.stageable or rule.stage is None
    assert not rule.caveat or rule.required
    assert rule.stage is (rule.required or rule.preferred)
    assert rule.split is bool(rule.caveat)
    assert rule.has_effect is (summary(rule) != "none")


@RULES
def test_a_rule_is_worded_to_stand_within_a_sentence(rule: Rule) -> None:
    for phrase in filter(None, (rule.why, rule.caveat)):
        assert phrase == phrase.strip()
        assert phrase[0].islower() or phrase.startswith(("Django", "SQL", "Python"))
        assert phrase[-1] not in ".;:"
        assert "  " not in phrase
    assert rule.why


def test_the_catalogue_is_a_copy() -> None:
    catalogue().clear()
    assert catalogue()


def test_a_rule_stays_as_it_is() -> None:
    rule: Any = rules.ADD_FIELD
    with pytest.raises(AttributeError):
        rule.required = Stage.POST_DEPLOY
