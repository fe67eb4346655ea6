"""Making a backend of the settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from syzygy.conf import OLD_QUORUM_BACKEND as OLD_SETTING
from syzygy.conf import QUORUM_BACKEND as SETTING
from syzygy.messages import error_line
from syzygy.quorum.backends.base import QuorumBase

# What there is without a setting.
DEFAULT = "syzygy.quorum.backends.database.DatabaseQuorum"


def setting() -> object:
    """The value of the setting, ``None`` without one.

    Raises :class:`~django.core.exceptions.ImproperlyConfigured` if its two spellings
    have different values.
    """
    value, old = getattr(settings, SETTING, None), getattr(settings, OLD_SETTING, None)
    if value is not None and old is not None and value != old:
        raise ImproperlyConfigured(
            f'The settings "{SETTING}" and "{OLD_SETTING}" have different values. '
            f'Remove "{OLD_SETTING}", which is the old name.'
        )
    return old if value is None else value


def make_backend() -> QuorumBase:
    """A backend as the settings want it.

    Raises :class:`~django.core.exceptions.ImproperlyConfigured` if there is none, or if
    it can't be imported, built or used.
    """
    value = setting()
    if value is None:
        raise ImproperlyConfigured(
            f'The setting "{SETTING}" is missing, so there is nowhere to meet. If in '
            f'doubt, add this line: {SETTING} = "{DEFAULT}"'
        )
    options = dict(value) if isinstance(value, Mapping) else {"backend": value}
    path = options.pop("backend", None)
    if not isinstance(path, str):
        raise ImproperlyConfigured(
            f'The setting "{SETTING}" is {value!r}. Make it the path of a class, or a '
            'dictionary with that path as "backend" and options.'
        )
    try:
        backend = import_string(path)
    except Exception as error:
        # Whatever a module raises when it is imported.
        raise ImproperlyConfigured(
            f'The backend "{path}" of the setting "{SETTING}" can\'t be imported: '
            f"{error_line(error)}"
        ) from error
    if not (isinstance(backend, type) and issubclass(backend, QuorumBase)):
        raise ImproperlyConfigured(
            f'"{path}", which the setting "{SETTING}" names, is no subclass of '
            '"syzygy.quorum.backends.base.QuorumBase".'
        )
    return _build(backend, path, options)


def _build(
    backend: type[QuorumBase], path: str, options: dict[object, object]
) -> QuorumBase:
    if inspect.isabstract(backend):
        missing = ", ".join(sorted(vars(backend)["__abstractmethods__"]))
        raise ImproperlyConfigured(
            f'The backend "{path}" lacks the methods: {missing}.'
        )
    try:
        inspect.signature(backend).bind(**options)  # type: ignore[arg-type]
    except TypeError as error:
        raise ImproperlyConfigured(
            f'The backend "{path}" doesn\'t take these options of the setting '
            f'"{SETTING}": {error}.'
        ) from error
    try:
        return backend(**options)  # type: ignore[arg-type]
    except ImproperlyConfigured:
        raise
    except Exception as error:
        raise ImproperlyConfigured(
            f'The backend "{path}" of the setting "{SETTING}" can\'t be made: '
            f"{error_line(error)}"
        ) from error
