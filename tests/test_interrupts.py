"""Commands that are told to end: one line, and the exit code that a shell expects."""

from __future__ import annotations

import pytest
from django.core.management import BaseCommand, CommandError, call_command


@pytest.mark.parametrize("command", ["check_migrations", "makemigrations", "rehearse"])
def test_ctrl_c(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        error = KeyboardInterrupt()
        error.add_note("Something is left.")
        raise error

    monkeypatch.setattr(BaseCommand, "execute", interrupt)
    with pytest.raises(CommandError) as caught:
        call_command(command)
    assert str(caught.value) == "Stopped by SIGINT.\nSomething is left."
    assert caught.value.returncode == 130
