"""What rows are kept from, as far as a plan changes that.

It is told by the effects of constraints, as :mod:`syzygy.constraints` has them.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import TypeAlias, TypeVar

_ValueT = TypeVar("_ValueT")
# The app label and the lower-case name of a model.
_Key: TypeAlias = tuple[str, str]
# What has lifted something, and what had imposed it, if that is remembered.
_Lift: TypeAlias = tuple[Hashable, Hashable]


class Lifting:
    """What each migration imposes and lifts, by model.

    What is imposed goes by the name of the constraint, or else by its effect; what is
    lifted by a form to compare, such as the effect. Of migrations that are ``unseen``
    the running release knows nothing.
    """

    def __init__(self) -> None:
        self._imposed: dict[tuple[_Key, Hashable], Hashable] = {}
        self._lifted: dict[tuple[_Key, Hashable], _Lift] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to forget."""
        return bool(self._lifted)

    def copy(self) -> Lifting:
        """One whose changes leave this one as it is."""
        twin = Lifting()
        twin._imposed = dict(self._imposed)
        twin._lifted = dict(self._lifted)
        return twin

    def clear(self) -> None:
        """Forget all."""
        self._imposed.clear()
        self._lifted.clear()

    def impose(
        self, key: _Key, what: Hashable, by: Hashable, forms: Iterable[Hashable]
    ) -> None:
        """Remember that rows of a model are kept from something from now on.

        It isn't new if it was lifted in one of these ``forms``, to come back.
        """
        for each in forms:
            if lift := self._lifted.get((key, each)):
                _, by = lift
                break
        self._imposed[key, what] = by

    def lift(self, key: _Key, what: Hashable, by: Hashable, form: Hashable) -> None:
        """Remember that rows of a model are kept from something no more."""
        self._lifted[key, form] = by, self._imposed.pop((key, what), None)

    def was_in_force(
        self, key: _Key, what: Hashable, unseen: Collection[Hashable]
    ) -> bool:
        """Whether a migration that is unseen lifts that, and none imposed it."""
        return any(
            model == key
            and lifter in unseen
            and (imposer is None or imposer not in unseen)
            and _forbids(lifted, what)
            for (model, lifted), (lifter, imposer) in self._lifted.items()
        )

    def is_new(self, key: _Key, what: Hashable, unseen: Collection[Hashable]) -> bool:
        """Whether a migration that is unseen imposes that."""
        imposer = self._imposed.get((key, what))
        return imposer is not None and imposer in unseen

    def forget(self, key: _Key, name: str | None = None) -> None:
        """Forget what was lifted of that field, or may have been; or of the model."""
        for model, what in [each for each in self._lifted if each[0] == key]:
            if name is None or not isinstance(what, frozenset) or name in what:
                del self._lifted[model, what]

    def rename_model(self, old: _Key, new: _Key) -> None:
        """Have what is known of a model be about another name."""
        self._imposed = _moved(self._imposed, old, new)
        self._lifted = _moved(self._lifted, old, new)

    def rename_field(self, key: _Key, old: str, new: str) -> None:
        """Have what is imposed be about another name, and forget what was lifted."""
        self.forget(key, old)
        for model, what in [each for each in self._imposed if each[0] == key]:
            if isinstance(what, frozenset) and old in what:
                imposer = self._imposed.pop((model, what))
                self._imposed[model, what - {old} | {new}] = imposer


def _moved(
    known: dict[tuple[_Key, Hashable], _ValueT], old: _Key, new: _Key
) -> dict[tuple[_Key, Hashable], _ValueT]:
    return {
        (new if model == old else model, what): value
        for (model, what), value in known.items()
        if model != new
    }


def _forbids(lifted: Hashable, what: Hashable) -> bool:
    """Whether the one effect of constraints is the other one, or implies it."""
    if isinstance(lifted, frozenset) and isinstance(what, frozenset):
        return lifted <= what
    return lifted == what
