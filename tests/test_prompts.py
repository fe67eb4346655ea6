"""The questions of ``makemigrations``, answered at a terminal."""

from __future__ import annotations

import os
import pty
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command_helpers import ManageServer, Project
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]
pytestmark = pytest.mark.skipif(
    UNDER_TEST != "sqlite", reason="The questions don't depend on the database."
)

MODELS = "from django.db import models\n\nclass Post(models.Model):\n"
TITLE = "    title = models.CharField(max_length=30{})\n"
OPTION = "Select an option: "
CONTROL_C, CONTROL_D = "\x03", "\x04"


class Terminal:
    """A person at a terminal."""

    def __init__(self, server: ManageServer, ours: int, theirs: int) -> None:
        self._server = server
        self._terminal = ours
        self._theirs: int | None = theirs
        self._code: int | None = None
        self._unread = ""
        self.seen = ""

    def answer(self, question: str, answer: str) -> None:
        """Wait for a question, and type what is the answer to it."""
        while question not in self._unread:
            assert self._read(), self.seen
        _, _, self._unread = self._unread.partition(question)
        is_control = answer in (CONTROL_C, CONTROL_D)
        os.write(self._terminal, (answer if is_control else f"{answer}\n").encode())

    def end(self, key: str = "") -> int:
        """Wait for the end, and return the exit code.

        Press a key until then: Python doesn't notice the signal of one that is pressed
        just when it begins to wait for a line.
        """
        while self._read(key):
            pass
        self._code = self._server.wait()
        return self._code

    def leave(self) -> None:
        """Close the terminal, which ends what is still running at it."""
        self._let_go()
        os.close(self._terminal)
        if self._code is None:
            self._server.wait()

    def _let_go(self) -> None:
        """Have the process be the only one at the other side of the terminal."""
        if self._theirs is not None:
            os.close(self._theirs)
            self._theirs = None

    def _read(self, key: str = "") -> bool:
        for _ in range(30):
            ready, _, _ = select.select([self._terminal], [], [], 1)
            if ready:
                break
            os.write(self._terminal, key.encode())
        assert ready, f"It hangs.\n{self.seen}"
        try:
            text = os.read(self._terminal, 65536).decode().replace("\r", "")
        except OSError:  # Linux says so when the other side is closed.
            return False
        self._let_go()
        self.seen += text
        self._unread += text
        return bool(text)


@contextmanager
def terminal(project: Project, *arguments: str) -> Iterator[Terminal]:
    project.write_settings()
    ours, theirs = pty.openpty()
    project.server.start(project.path, arguments, os.ttyname(theirs))
    person = Terminal(project.server, ours, theirs)
    try:
        yield person
    finally:
        person.leave()


def written(project: Project) -> dict[str, str]:
    folder = project.path / "blog/migrations"
    return {
        file.stem: file.read_text(encoding="utf-8")
        for file in sorted(folder.glob("0*.py"))
        if file.stem != "0001_initial"
    }


@pytest.fixture
def blog(project: Project) -> Project:
    project.app("blog", {}, MODELS + TITLE.format(""))
    project.call("makemigrations", verbosity=0)
    return project


def now(project: Project, fields: str) -> Path:
    return project.write("blog/models.py", MODELS + fields)


def test_a_value_for_rows_is_that_of_the_database_too(blog: Project) -> None:
    now(blog, TITLE.format("") + "    slug = models.SlugField()\n")
    with terminal(blog, "makemigrations") as person:
        person.answer(OPTION, "1")
        person.answer(">>> ", '"none"')
        assert person.end() == 0, person.seen
    first, second = written(blog).values()
    assert "db_default='none'" in first
    assert "none" not in second


def test_nobody_is_asked_for_one_value_of_a_unique_field(blog: Project) -> None:
    slug = "    slug = models.SlugField(unique=True)\n"
    now(blog, f"{TITLE.format('')}{slug}    rank = models.IntegerField()\n")
    with terminal(blog, "makemigrations") as person:
        person.answer(OPTION, "1")
        person.answer(">>> ", "0")
        assert person.end() == 3, person.seen
    assert 'The new field "slug" of "blog.Post" needs a value of its own' in person.seen
    assert person.seen.count(OPTION) == 1
    assert not written(blog)


def test_a_value_for_null_is_filled_in(project: Project) -> None:
    project.app("blog", {}, MODELS + TITLE.format(", null=True"))
    project.call("makemigrations", verbosity=0)
    now(project, TITLE.format(""))
    with terminal(project, "makemigrations") as person:
        person.answer(OPTION, "1")
        person.answer(">>> ", '"none"')
        assert person.end() == 0, person.seen
    fill, tighten = written(project).values()
    assert "value='none'" in fill
    assert "none" not in tighten


def test_who_corrects_the_rows_gets_no_back_fill(project: Project) -> None:
    project.app("blog", {}, MODELS + TITLE.format(", null=True"))
    project.call("makemigrations", verbosity=0)
    now(project, TITLE.format(""))
    with terminal(project, "makemigrations") as person:
        person.answer(OPTION, "2")
        assert person.end() == 0, person.seen
    assert [*written(project)] == ["0002_tighten_post_title"]


def test_what_is_unsafe_is_asked_with_the_safe_ways_first(blog: Project) -> None:
    now(blog, TITLE.format("").replace("title", "heading"))
    with terminal(blog, "makemigrations") as person:
        person.answer("[y/N]", "y")
        person.answer(OPTION, "what?")
        person.answer("valid option: ", "0")
        person.answer("valid option: ", "1")
        assert person.end() == 3, person.seen
    assert "db_column='title'" in person.seen
    assert person.seen.index(" 1) Quit") < person.seen.index(" 2) Quit")
    assert not written(blog)

    with terminal(blog, "makemigrations") as person:
        person.answer("[y/N]", "y")
        person.answer(OPTION, "3")
        assert person.end() == 0, person.seen
    (text,) = written(blog).values()
    assert "migrations.RenameField(" in text
    assert "stage = Stage.POST_DEPLOY" in text
    assert "    # Unsafe" in text


def test_what_is_no_rename_is_added_and_removed(project: Project) -> None:
    title = TITLE.format(', default=""')
    project.app("blog", {}, MODELS + title)
    project.call("makemigrations", verbosity=0)
    now(project, title.replace("title", "heading"))
    with terminal(project, "makemigrations") as person:
        person.answer("[y/N]", "n")
        assert person.end() == 0, person.seen
    first, second = written(project).values()
    assert "migrations.AddField(" in first
    assert "migrations.RemoveField(" in second
    assert "Stage" not in first + second


@pytest.mark.parametrize("key", [CONTROL_C, CONTROL_D], ids=["interrupt", "end"])
def test_who_leaves_gets_nothing(blog: Project, key: str) -> None:
    now(blog, TITLE.format("").replace("title", "heading"))
    with terminal(blog, "makemigrations") as person:
        person.answer("[y/N]", "y")
        person.answer(OPTION, key)
        assert person.end(key) != 0, person.seen
    assert not written(blog)
    if key == CONTROL_D:
        assert "nothing was written" in person.seen
        assert "Traceback" not in person.seen
