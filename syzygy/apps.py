"""What Django learns of this app when it starts."""

from django.apps import AppConfig
from django.core import checks


class SyzygyConfig(AppConfig):
    """Registers the system checks."""

    name = "syzygy"
    verbose_name = "Syzygy"

    def ready(self) -> None:
        """Register the checks; what they need is imported when they run."""
        from syzygy.checks import (
            TAG,
            check_commands,
            check_quorum,
            check_settings,
            check_stages,
        )

        for check in (check_settings, check_stages, check_commands, check_quorum):
            checks.register(check, TAG)
