"""``makemigrations`` that writes what both releases of a rollout survive."""

from django.core.management.commands.makemigrations import (
    Command as MakeMigrationsCommand,
)

from syzygy.management.generation import MakeMigrationsMixin


class Command(MakeMigrationsMixin, MakeMigrationsCommand):
    """Django's ``makemigrations``, with a stage for each migration."""
