"""``optimizemigration`` that undoes no split."""

from django.core.management.commands.optimizemigration import (
    Command as OptimizeMigrationCommand,
)

from syzygy.management.squashing import OptimizeMigrationMixin


class Command(OptimizeMigrationMixin, OptimizeMigrationCommand):
    """Django's ``optimizemigration``, which keeps the stages apart."""
