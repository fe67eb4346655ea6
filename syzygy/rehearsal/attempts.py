"""Trying what may fail, in a transaction of which nothing stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from django.db import IntegrityError, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from syzygy.rehearsal.findings import Action, Failure, NotProbed, Probe, Severity
from syzygy.rehearsal.isolation import forget_content_types
from syzygy.rehearsal.releases import ModelClass
from syzygy.rehearsal.values import Unprobable

_ResultT = TypeVar("_ResultT")


class WrongError(Exception):
    """Nothing was raised, but what was observed is wrong."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class _Stopped(Exception):
    """An attempt failed, and nobody can go on in the transaction."""

    def __init__(self, failure: Failure | None) -> None:
        self.failure = failure


class Attempts:
    """Collects what goes wrong: ``failures``, and what could not be tried.

    ``unprobable`` has the last reason of that for each model, field or constraint of
    one; ``is_cautious`` says that what fails is undone by itself.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.alias = connection.alias
        self.failures: list[Failure] = []
        self.unprobable: dict[tuple[str, str], NotProbed] = {}
        self._connection = connection
        self.is_cautious = False
        # Whether a statement that violates a constraint fails by itself, and whether
        # that is so for as long as the transaction lasts.
        self._is_strict = not connection.features.can_defer_constraint_checks
        self._is_stricter = False

    def attempt(
        self,
        probe: Probe,
        do: Callable[[], _ResultT],
        *,
        mild: type[Exception] | None = None,
    ) -> _ResultT | None:
        """Do something, and note it as a failure if it goes wrong.

        Errors of the class ``mild`` are hazards. Returns ``None`` after a failure. It
        has to be one of those that :meth:`together` makes.
        """
        failure = None
        guard = _undone_on_error(self.alias) if self.is_cautious else nullcontext()
        try:
            with guard:
                result = do()
                if probe.action is not Action.SELECT:
                    self.check()
        except Unprobable as error:
            is_upsert = probe.action is Action.UPSERT
            self.pass_over(error, probe.subject if is_upsert else "")
        except Exception as error:
            is_mild = mild is not None and isinstance(error, mild)
            severity = Severity.HAZARD if is_mild else Severity.BREAKS
            if isinstance(error, WrongError):
                failure = Failure(probe, str(error), severity, error.field)
            else:
                failure = Failure(probe, explain(error), severity)
            if self._is_stricter and isinstance(error, IntegrityError):
                # What comes later in the transaction may mend it.
                raise _Stopped(None) from error
        else:
            return result
        if not self.is_cautious:
            raise _Stopped(failure)
        if failure:
            self.failures.append(failure)
        return None

    def pass_over(self, error: Unprobable, subject: str = "") -> None:
        """Note what can't be tried, and which of several things it is about."""
        item = NotProbed(error.label, error.reason, error.kind)
        self.unprobable[error.label, subject] = item

    def quietly(self, do: Callable[[], _ResultT]) -> _ResultT | None:
        """Do what an attempt needs; return ``None`` if it goes wrong.

        There has to be another attempt then that tells of it.
        """
        if not self._is_stricter:
            return quietly(self.alias, do)
        try:
            return do()
        except Exception as error:
            raise _Stopped(None) from error

    def check(self) -> None:
        """Raise what the database has to say of constraints that it defers."""
        if not self._is_strict:
            self._connection.check_constraints()

    def together(self, do: Callable[[], object], *, defers: bool = False) -> None:
        """Make attempts, and undo in the end what is done to the database.

        They may rely on it that the database ``defers`` constraints. Most of them
        succeed. They need savepoints, and constraints that aren't looked at before each
        of them is over, only if one doesn't: then all are made again.
        """
        before = len(self.failures)
        unprobable = dict(self.unprobable)
        try:
            with self._rolled_back(), nullcontext() if defers else self._strictly():
                do()
        except _Stopped as stopped:
            del self.failures[before:]
            self.unprobable = unprobable
            self.is_cautious = True
            try:
                with self._rolled_back():
                    do()
            finally:
                self.is_cautious = False
            if stopped.failure and len(self.failures) == before:
                self.failures.append(stopped.failure)

    @contextmanager
    def _rolled_back(self) -> Iterator[None]:
        try:
            with transaction.atomic(using=self.alias):
                yield
                transaction.set_rollback(True, using=self.alias)
        finally:
            forget_content_types()

    @contextmanager
    def _strictly(self) -> Iterator[None]:
        """Have PostgreSQL defer nothing, rather than ask it again and again."""
        if self._connection.vendor != "postgresql":
            yield
            return
        with self._connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._is_strict = self._is_stricter = True
        try:
            yield
        finally:
            self._is_strict = self._is_stricter = False


@contextmanager
def _undone_on_error(alias: str) -> Iterator[None]:
    try:
        with transaction.atomic(using=alias):
            yield
    except Exception:
        forget_content_types()
        raise


def quietly(alias: str, do: Callable[[], _ResultT]) -> _ResultT | None:
    """Do something of which an attempt tells if it goes wrong; then return ``None``."""
    try:
        with _undone_on_error(alias):
            return do()
    except Exception:  # noqa: BLE001 - whatever a database or a field says
        return None


class _Router:
    """Sends everything to one database."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def db_for_read(self, model: ModelClass, **hints: Any) -> str:
        return self._alias

    def db_for_write(self, model: ModelClass, **hints: Any) -> str:
        return self._alias

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


@contextmanager
def routed_to(alias: str) -> Iterator[None]:
    """Have the ORM use that database, whatever the project's routers say.

    They are asked all the same which models the database has.
    """
    routers = router.routers
    router.routers = [_Router(alias), *routers]
    try:
        yield
    finally:
        router.routers = routers


def explain(error: BaseException) -> str:
    """The error in one line, as a database has put it."""
    # PostgreSQL quotes the statement, and points at a place in it.
    said = re.sub(r"\nLINE \d+:.*\n *\^", "", str(error))
    return " ".join(f"{type(error).__name__}: {said}".split())


def differ(one: Any, other: Any) -> bool:
    """Whether two values of a field differ, be they such as can't be compared."""
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - a third party's value, such as an array
        return repr(one) != repr(other)


def short(value: Any) -> str:
    """A value as a message has it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
