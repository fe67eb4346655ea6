"""Zero-downtime database migrations for Django."""

from syzygy.constants import Stage

__all__ = ["Stage"]
