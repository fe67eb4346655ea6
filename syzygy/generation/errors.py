"""Why nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syzygy.generation.ways import Refusal


class Refused(ValueError):
    """Changes that are unsafe in whatever order, with the ways out.

    ``is_told`` says that somebody has been told of them already.
    """

    def __init__(self, problems: Iterable[Refusal], *, is_told: bool = False) -> None:
        self.problems = tuple(problems)
        self.is_told = is_told
        super().__init__("\n\n".join(map(str, self.problems)))


class Inconsistency(RuntimeError):
    """What was to be written would be unsafe. It is a mistake of this app."""


class Unwritable(ValueError):
    """A migration with something in it that no file can have."""
