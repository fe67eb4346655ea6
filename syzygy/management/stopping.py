"""What commands have in common that may be stopped while they run."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand


class StoppableMixin(BaseCommand):
    """Makes Ctrl+C one line, for commands that clean up after themselves."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Django's. Raises :class:`CommandError` if it is stopped by a signal."""
        # Not imported at the top: checks load the command without running it.
        from syzygy.management.reaching import stoppable

        with stoppable():
            return super().execute(*args, **options)
