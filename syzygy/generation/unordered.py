"""Changes for which Django's detection finds no order, as each waits for another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError
from typing import Any

from syzygy.generation.ways import Refusal

# What Django says where it gives up.
_SUMMARY = "Cannot resolve operation dependencies"
_SHOWN = 6


def is_unordered(error: ValueError) -> bool:
    """Whether Django's detection gave up with that error."""
    return isinstance(error, CycleError) or str(error).startswith(_SUMMARY)


def refusal(detector: Any, error: ValueError) -> Refusal:
    """What waits for what, of the operations that a detection gave up on."""
    left: Mapping[str, Sequence[Any]] = detector.generated_operations
    labels = {id(each): label for label, own in left.items() for each in own}
    if isinstance(error, CycleError):
        # There, each has to come before the next one.
        circle = error.args[1][:0:-1]
    else:
        circle = _circle(detector, left)
    told = [
        f'"{each.describe()}" of "{labels.get(id(each), "")}"'
        for each in circle[:_SHOWN]
    ]
    if len(circle) > _SHOWN:
        told.append(f"and {len(circle) - _SHOWN} more")
    return Refusal(
        labels.get(id(circle[0]), ""),
        "These changes can't be put into an order, as each of them waits for the next "
        f"one, and the last for the first: {', '.join(told)}.",
        (
            (
                'Take some of them back for now, run "makemigrations", and make them '
                "after that by another run.",
                (),
            ),
        ),
    )


def _circle(detector: Any, left: Mapping[str, Sequence[Any]]) -> list[Any]:
    """The shortest circle of operations that wait for each other.

    Those of an app wait for those before them, too, as Django has sorted them already.
    """
    needs: dict[int, list[Any]] = {}
    everything = [each for own in left.values() for each in own]
    for own in left.values():
        for position, operation in enumerate(own):
            needs[id(operation)] = [
                *_needed(detector, operation, left),
                *own[max(position - 1, 0) : position],
            ]
    circles = (_shortest(operation, needs) for operation in everything)
    return min(filter(None, circles), key=len, default=everything)


def _needed(
    detector: Any, operation: Any, left: Mapping[str, Sequence[Any]]
) -> Iterator[Any]:
    for each in operation._auto_deps:
        dependency, _ = detector._resolve_dependency(each)
        for other in left.get(dependency.app_label, ()):
            if other is not operation and detector.check_dependency(other, dependency):
                yield other


def _shortest(start: Any, needs: Mapping[int, Sequence[Any]]) -> list[Any]:
    """The shortest way from an operation back to it; empty if there is none."""
    ways = deque([[start]])
    seen: set[int] = set()
    while ways:
        way = ways.popleft()
        for each in needs[id(way[-1])]:
            if each is start:
                return way
            if id(each) not in seen:
                seen.add(id(each))
                ways.append([*way, each])
    return []
