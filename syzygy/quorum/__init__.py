"""Several parties that agree on when one of them does something for all.

The functions use the backend of the setting ``MIGRATION_QUORUM_BACKEND``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syzygy.exceptions import QuorumDissolved

if TYPE_CHECKING:
    from syzygy.quorum.backends.base import QuorumBase

__all__ = [
    "QuorumDisolved",
    "QuorumDissolved",
    "join_quorum",
    "poll_quorum",
    "sever_quorum",
]

# As it was spelt once.
QuorumDisolved = QuorumDissolved

_backends: list[tuple[object, QuorumBase]] = []


def join_quorum(namespace: str, quorum: int) -> bool:
    """Join the round of a namespace; return ``True`` to the party that completes it."""
    return _backend().join(namespace, quorum)


def poll_quorum(namespace: str, quorum: int) -> bool:
    """Whether as many as ``quorum`` have joined the round that this process joined.

    Raises :class:`~syzygy.exceptions.QuorumDissolved` if it was dissolved.
    """
    return _backend().poll(namespace, quorum)


def sever_quorum(namespace: str, quorum: int) -> None:
    """Dissolve the round of a namespace: whoever polls it is told."""
    _backend().sever(namespace, quorum)


def _backend() -> QuorumBase:
    """The backend of this process: it knows which rounds the process joined."""
    from syzygy.quorum.configuration import make_backend, setting

    value = setting()
    for known, backend in _backends:
        if known == value:
            return backend
    backend = make_backend()
    _backends[:] = [(value, backend)]
    return backend
