"""``squashmigrations`` that undoes no split."""

from django.core.management.commands.squashmigrations import (
    Command as SquashMigrationsCommand,
)

from syzygy.management.squashing import SquashMigrationsMixin


class Command(SquashMigrationsMixin, SquashMigrationsCommand):  # type: ignore[misc]
    """Django's ``squashmigrations``, which keeps the stages apart."""
