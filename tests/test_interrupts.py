"""Commands that are told to end: one line, and the exit code that a shell expects."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from django.core.management import BaseCommand, CommandError, call_command
from django.core.management.commands import makemigrations


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


def test_ctrl_c_while_migrations_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(makemigrations.Command, "handle", interrupted)
    with pytest.raises(CommandError, match=r"^Stopped by SIGINT\.$") as caught:
        call_command("makemigrations")
    assert caught.value.returncode == 130
    interrupted.assert_called_once()
