"""Writing to somebody who may have stopped reading, such as ``head``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def while_somebody_reads() -> Iterator[None]:
    """Write a report; what nobody reads any more is dropped, and is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Else Python complains when it flushes the rest in the end; see
        # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
