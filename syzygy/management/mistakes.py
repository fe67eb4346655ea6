"""What is wrong with the project, the database or the command line: what people do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db.migrations import exceptions as django_exceptions

from syzygy.exceptions import AmbiguousPlan, AmbiguousStage, BackfillError

USER_ERRORS = (
    AmbiguousPlan,
    AmbiguousStage,
    BackfillError,
    ImproperlyConfigured,
    django_exceptions.BadMigrationError,
    django_exceptions.CircularDependencyError,
    django_exceptions.InconsistentMigrationHistory,
    django_exceptions.InvalidMigrationPlan,
    django_exceptions.IrreversibleError,
    django_exceptions.NodeNotFoundError,
)


@contextmanager
def telling_mistakes() -> Iterator[None]:
    """Make a :class:`CommandError` of whatever a person can get wrong."""
    try:
        yield
    except django_exceptions.CircularDependencyError as error:
        raise CommandError(circle_text(error)) from error
    except USER_ERRORS as error:
        raise CommandError(str(error)) from error


def circle_text(error: Exception) -> str:
    """What to do about migrations that Django names without a word."""
    return (
        f"These migrations need each other, in a circle: {error}. Take one of their "
        "dependencies away."
    )
