"""The same settings without Syzygy, for what plain Django does."""

from .settings import *  # noqa: F403

INSTALLED_APPS = ["library"]
