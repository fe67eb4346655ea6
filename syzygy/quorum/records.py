"""What a party of a quorum writes about itself, for the others to read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum

from syzygy.messages import process_text
from syzygy.plan import hash_plan
from syzygy.staging import Plan

# Of a format that this code doesn't know nothing can be said.
FORMAT = 1
# As many migrations of a plan are named to people.
NAMED = 4


class Phase(StrEnum):
    """How far a party is."""

    WAITING = "waiting"
    # The quorum is reached and this party is to apply the plan, once it has the lock.
    LEADING = "leading"
    APPLYING = "applying"
    # The quorum is reached and another party applies the plan.
    FOLLOWING = "following"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Record:
    """What a party says of itself. Nobody else writes it.

    ``beat`` changes as long as the party lives. ``ballot`` names the round that it
    proposes, leads or follows, ``members`` those whom it asks, and ``ack`` the round
    to which it agrees. ``rest`` has the digests of what is left of the plan after each
    of its migrations.
    """

    party: str
    host: str
    pid: int
    size: int
    plan: str
    wants: str
    phase: Phase = Phase.WAITING
    beat: int = 0
    ballot: str = ""
    members: tuple[str, ...] = ()
    ack: str = ""
    rest: tuple[str, ...] = ()
    detail: str = ""

    def __str__(self) -> str:
        return process_text(self.pid, self.host)

    def encode(self) -> str:
        """The text that :meth:`decode` reads."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"))


# A later release may write more.
_FIELDS = {field.name for field in fields(Record)}


def disagreement(one: Record, other: Record) -> str:
    """Who of two wants what, in words."""
    first, second = (f"{each} wants a quorum of {each.size}" for each in (one, other))
    if one.plan == other.plan:
        return f"{first}, {second}, both for {one.wants}"
    return f"{first} for {one.wants}; {second} for {other.wants}"


def decode(text: object) -> Record | None:
    """Read what :meth:`Record.encode` wrote; ``None`` if it is something else."""
    try:
        values = json.loads(text) if isinstance(text, str) else {}
        if values.pop("format") != FORMAT:
            return None
        values = {name: value for name, value in values.items() if name in _FIELDS}
        values["phase"] = Phase(values["phase"])
        values["members"] = tuple(values["members"])
        values["rest"] = tuple(values["rest"])
        return Record(**values)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def digest(plan: Plan, flags: str) -> str:
    """What two parties have to have in common: a plan, and how to apply it."""
    return _short(f"{hash_plan(plan)} {flags}")


def digests_of_rest(plan: Plan, flags: str) -> tuple[str, ...]:
    """The digests of what is left of the plan when its first 1, 2 ... are applied."""
    return tuple(digest(plan[start:], flags) for start in range(1, len(plan)))


def describe_plan(plan: Plan, flags: str) -> str:
    """A plan in words: how many migrations, and which."""
    names = [
        f"{migration} (backwards)" if backward else str(migration)
        for migration, backward in plan
    ]
    if len(names) > NAMED:
        half = NAMED // 2
        names = [*names[:half], f"{len(names) - NAMED} more", *names[-half:]]
    text = f"{', '.join(names)} [{hash_plan(plan)[:8]}]"
    return f"{text} with {flags}" if flags else text


def _short(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]
