"""The autodetector of commands: whatever the project has, split into two stages."""

from __future__ import annotations

from typing import Any


class StagedAutodetector:
    """An attribute that is the command's own autodetector class, split.

    It is made of the class that the next command class has when it is asked for, as
    other apps may put theirs there when they start. ``migrate`` and ``makemigrations``
    come to the same one, which Django checks (commands.E001).
    """

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, instance: object, owner: type[Any]) -> type[Any]:
        # Not imported at the top: few commands ask for it.
        from syzygy.autodetector import staged

        return staged(getattr(super(self._owner, owner), self._name))
