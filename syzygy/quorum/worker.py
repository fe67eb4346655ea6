"""A thread that asks the store, so that one that doesn't answer holds nobody up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from syzygy.quorum.backends.base import RosterQuorum, StoreUnavailable

# Seconds for an answer. A client may be set to wait for ever.
PATIENCE = 5.0

T = TypeVar("T")
Question = Callable[[RosterQuorum], Any]
_Questions: TypeAlias = "queue.SimpleQueue[tuple[Question, Future[Any]] | None]"


class Worker:
    """Asks a store in a thread of its own, one question after another."""

    def __init__(self, make_store: Callable[[], RosterQuorum]) -> None:
        self._make_store = make_store
        self._questions: _Questions | None = None
        self._thread: threading.Thread | None = None

    def ask(
        self, question: Callable[[RosterQuorum], T], patience: float = PATIENCE
    ) -> T:
        """Return the store's answer.

        Raises :class:`StoreUnavailable` if it has none or takes too long, and whatever
        else the question raises.
        """
        questions = self._questions
        if questions is None:
            questions = self._start()
        future: Future[T] = Future()
        questions.put((question, future))
        try:
            return future.result(patience)
        except TimeoutError as error:
            if not future.done():
                # It ends when it gets its answer, if ever; there will be another one.
                self._questions = None
                questions.put(None)
            raise StoreUnavailable(
                f"The store of the quorum gave no answer within {patience:g} seconds"
            ) from error

    def _start(self) -> _Questions:
        questions: _Questions = queue.SimpleQueue()
        thread = threading.Thread(
            target=_answer, args=(self._make_store, questions), daemon=True
        )
        thread.start()
        # Not sooner: a signal may come before it has started.
        self._questions, self._thread = questions, thread
        return questions

    def close(self) -> None:
        """Let the thread go, and with it the connection."""
        if self._questions is not None and self._thread is not None:
            self._questions.put(None)
            # A server complains in its log of connections that aren't closed.
            self._thread.join(timeout=1)
        self._questions = None


def _answer(make_store: Callable[[], RosterQuorum], questions: _Questions) -> None:
    store: RosterQuorum | None = None
    while (item := questions.get()) is not None:
        question, future = item
        try:
            if store is None:
                store = make_store()
            future.set_result(question(store))
        except BaseException as error:  # noqa: BLE001 - whoever asked is told
            future.set_exception(error)
    if store is not None:
        store.close()
