"""Histories to judge operations by, and a short way to write tables of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import pytest
from django.db.migrations import AddField, CreateModel, Migration
from django.db.migrations.operations.base import Operation
from django.db.models import BigAutoField, CharField, Field

from syzygy import Stage
from syzygy.history import History
from syzygy.requirements import never_waits, operation_rules
from syzygy.stages import Decision, Policy, decide

APP = "blog"
NEW = "the plan"

# A name, the codes of the rules that hold, the operation, and those that came before.
Row: TypeAlias = tuple[Any, ...]


def model(
    name: str,
    bases: tuple[Any, ...] = (),
    options: dict[str, Any] | None = None,
    /,
    **fields: Any,
) -> CreateModel:
    """Create a model, with an id unless it has a primary key or a base."""
    if not bases and not any(field.primary_key for field in fields.values()):
        fields = {"id": BigAutoField(primary_key=True), **fields}
    if bases:
        return CreateModel(name, list(fields.items()), options or {}, bases)
    return CreateModel(name, list(fields.items()), options or {})


def post(**fields: Any) -> CreateModel:
    return model("Post", **fields)


def add(name: str, field: Field[Any, Any], model_name: str = "post") -> AddField:
    return AddField(model_name, name, field)


# What fields of posts refer to.
AUTHOR = model("Author", slug=CharField(max_length=50, unique=True))


def history(
    *before: Operation,
    new: Iterable[Operation] = (),
    is_swapped: Callable[[str, str], bool] | None = None,
) -> History:
    """The state after `before`, and after `new`, which the running release lacks."""
    result = History(is_swapped) if is_swapped else History()
    for operation in before:
        operation.state_forwards(APP, result)
    result.origin = result.applying = NEW
    result.unseen = (NEW,)
    for operation in new:
        result.advance(operation, APP)
    return result


def judged(
    operation: Operation,
    *before: Operation,
    new: Iterable[Operation] = (),
    is_swapped: Callable[[str, str], bool] | None = None,
) -> set[str]:
    """The codes of the rules that hold for an operation after those `before` it."""
    state = history(*before, new=new, is_swapped=is_swapped)
    rules = operation_rules(operation, APP, state)
    if never_waits(operation):
        # The check doesn't look at what its class alone tells.
        assert all(r.stageable and r.required is not Stage.POST_DEPLOY for r in rules)
    return {rule.code for rule in rules}


def table(*rows: Row) -> pytest.MarkDecorator:
    """Parametrize a test with `operation`, `before` and the `codes` of rules."""
    return pytest.mark.parametrize(
        ("codes", "operation", "before"),
        [
            pytest.param(set(codes.split()), operation, before, id=name)
            for name, codes, operation, *before in rows
        ],
    )


def migration(name: str, *operations: Operation, **attributes: Any) -> Migration:
    """A migration of the app "blog"."""
    made = Migration(name, attributes.pop("app_label", APP))
    vars(made).update(attributes, operations=list(operations))
    return made


def decide_all(
    *migrations: Migration,
    before: Iterable[Operation] = (),
    policy: Policy | None = None,
    planned: bool = True,
) -> list[Decision]:
    """The decisions on migrations of one plan, in turn."""
    state = history(*before)
    state.origin, state.unseen = None, ()
    keys = {(each.app_label, each.name) for each in migrations} if planned else set()
    return [decide(each, state, policy or Policy(), keys) for each in migrations]


def named(value: object) -> str:
    """What a case is called: the same in all processes that run the tests."""
    if isinstance(value, Operation):
        return type(value).__name__
    if isinstance(value, list | tuple):
        return "-".join(map(named, value)) or "nothing"
    return str(value)
