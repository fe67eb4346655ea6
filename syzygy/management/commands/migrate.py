"""``migrate`` with ``--pre-deploy``."""

from django.core.management.commands.migrate import Command as MigrateCommand

from syzygy.management.mixins import MigrateMixin


class Command(MigrateMixin, MigrateCommand):
    """Django's ``migrate`` with ``--pre-deploy``."""
