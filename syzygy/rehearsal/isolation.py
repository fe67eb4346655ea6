"""Keeping the application out of a rehearsal: it is about models and the database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db.models import signals

_SIGNALS: tuple[Any, ...] = (
    signals.pre_init,
    signals.post_init,
    signals.pre_save,
    signals.post_save,
    signals.pre_delete,
    signals.post_delete,
    signals.m2m_changed,
)


@contextmanager
def isolated() -> Iterator[None]:
    """Have no receiver hear of what is done to models, and no log of odd conditions.

    Receivers that name no sender hear of the models of migrations, too: one that feeds
    a search index or sends mail must not do so for rows that nobody has. Django logs
    each condition that it can't check in the database.
    """
    logger = logging.getLogger("django.db.models")
    receivers = [(signal, signal.receivers) for signal in _SIGNALS]
    was_disabled, logger.disabled = logger.disabled, True
    for signal in _SIGNALS:
        _set_receivers(signal, [])
    forget_content_types()
    try:
        yield
    finally:
        forget_content_types()
        logger.disabled = was_disabled
        for signal, found in receivers:
            # What was connected meanwhile stays connected.
            _set_receivers(signal, [*found, *signal.receivers])


def forget_content_types() -> None:
    """Drop the keys that the app remembers by the alias of a database.

    They are of rows that it makes when it is asked for them, as the ``on_delete`` of a
    field may do, and that are gone after a rollback.
    """
    if apps.is_installed("django.contrib.contenttypes"):
        from django.contrib.contenttypes.models import ContentType

        ContentType.objects.clear_cache()


def _set_receivers(signal: Any, receivers: list[Any]) -> None:
    with signal.lock:
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()
