"""What a generation is given to do, and what does Django's part of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from syzygy.generation.questions import Questions
from syzygy.generation.states import Changes
from syzygy.generation.window import FieldKey
from syzygy.history import ModelKey


class Extras(NamedTuple):
    """What a detection writes besides what it finds.

    ``first`` and ``last`` are operations by app label; the orders with respect to
    another model that come or go are ``kept`` harmless for these models. If it
    ``relaxes``, constraints of fields are dropped such that they can be had back.
    """

    first: Mapping[str, Collection[Operation]] = {}
    last: Mapping[str, Collection[Operation]] = {}
    kept: Collection[ModelKey] = ()
    relaxes: bool = False


class Detect(Protocol):
    """Django's detection: the migrations from one state to another, after a graph."""

    def __call__(
        self,
        states: tuple[ProjectState, ProjectState],
        graph: MigrationGraph,
        questioner: Any,
        extras: Extras,
    ) -> Changes:
        """Return the migrations by app label; the states may be changed."""


class Task(NamedTuple):
    """What there is to do.

    ``plain`` is what Django would write. ``arrange`` names migrations after a graph and
    has them depend on it; ``renamed_models`` has the old names of models by the new
    keys, ``renamed_fields`` likewise.
    """

    before: ProjectState
    after: ProjectState
    plain: Changes
    graph: MigrationGraph
    questions: Questions
    detect: Detect
    arrange: Callable[[Changes, MigrationGraph], Changes]
    renamed_models: Mapping[ModelKey, str]
    renamed_fields: Mapping[FieldKey, str]
    vendor: str
