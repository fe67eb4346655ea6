"""Parties that fail, die, stop, come late or never, and disagree."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from functools import partial
from signal import (
    SIGCONT,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGSTOP,
    SIGTERM,
    Signals,
    raise_signal,
)
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection

from syzygy.management.coordination import Coordinator
from tests.command_helpers import ADD, source
from tests.quorum.conftest import LEASE, ONE, ONE_EACH
from tests.quorum.helpers import (
    HOOK,
    Clusters,
    Party,
    assert_all,
    outputs,
    wait_until,
)
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

# Seconds after which a party has ended that was told of a failure. The bound is two:
# see test_sessions, where no other process keeps the machine busy.
PROMPTLY = 10.0


def retry(clusters: Clusters, count: int = 2) -> None:
    """Start again, and see that it is applied."""
    clusters.path("fail").unlink(missing_ok=True)
    before = len(clusters.appliers)
    assert_all(clusters.start_all(count))
    assert clusters.project.applied() == ["blog.0001_initial"]
    assert len(clusters.appliers) == before + 1


@pytest.mark.parametrize("backend", ONE_EACH, indirect=True)
def test_applying_party_raises(clusters: Clusters) -> None:
    clusters.hold()
    clusters.path("fail").touch()
    leader, others = clusters.leading(clusters.start_all(3))
    clusters.release()
    assert leader.wait() == 1
    for party in others:
        assert party.wait() == 4, party.output
        assert party.ended - clusters.failed_at < PROMPTLY
        assert f"Process {leader.pid} on " in party.stderr
        assert "RuntimeError: The disk is full" in party.stderr
        assert "Traceback" not in party.stderr
    retry(clusters, 3)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_applying_party_is_asked_to_stop(clusters: Clusters, number: Signals) -> None:
    clusters.hold()
    leader, others = clusters.leading(clusters.start_all(2))
    stopped_at = time.monotonic()
    leader.signal(number)
    for party in others:
        assert party.wait() == 4, party.output
        assert party.ended - stopped_at < PROMPTLY
        assert f"Process {leader.pid} on " in party.stderr
        assert f"got {number.name} while it applied the plan" in party.stderr
    assert leader.wait() == 128 + number, leader.output
    assert "Traceback" not in leader.stderr
    clusters.release()
    retry(clusters)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_party_is_asked_to_stop_when_it_is_about_to_apply(
    clusters: Clusters, number: Signals
) -> None:
    clusters.project.extra = (
        "import os\n"
        "from syzygy.quorum.session import Session\n"
        "def applying(self):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "Session.applying = applying\n"
    )
    clusters.project.write_settings()
    parties = clusters.start_all(2)
    ends = {party.wait(): party for party in parties}
    assert sorted(ends) == [4, 128 + number], outputs(parties)
    leader, follower = ends[128 + number], ends[4]
    assert leader.stderr == f"CommandError: Stopped by {number.name}.\n"
    assert f"Process {leader.pid} on " in follower.stderr
    assert f"got {number.name} while it applied the plan" in follower.stderr
    assert clusters.appliers == []


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_applying_party_is_killed(clusters: Clusters) -> None:
    clusters.hold()
    leader, others = clusters.leading(clusters.start_all(3))
    killed_at = time.monotonic()
    leader.signal(SIGKILL)
    for party in others:
        assert party.wait() == 4, party.output
        assert party.ended - killed_at < LEASE + PROMPTLY
        assert f"no sign of life of process {leader.pid} on" in party.stderr
    clusters.release()
    retry(clusters, 3)


def test_applying_party_is_killed_when_all_is_applied(clusters: Clusters) -> None:
    # Without models there are no signals.
    clusters.project.write("blog/models.py")
    clusters.project.write(
        "blog/apps.py",
        "from django.apps import AppConfig\n"
        "class BlogConfig(AppConfig):\n"
        '    name = "blog"\n'
        "    def ready(self):\n"
        "        import hooks\n"
        "        from django.db.models.signals import post_migrate\n"
        "        post_migrate.connect(lambda **kwargs: hooks.stop(), weak=False)\n",
    )
    with clusters.path("hooks.py").open("a") as hooks:
        hooks.write(
            "\ndef stop():\n"
            "    import signal\n"
            '    if not (HERE / "killed").exists():\n'
            '        (HERE / "killed").touch()\n'
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
        )
    parties = clusters.start_all(3)
    (leader,) = (party for party in parties if party.wait() < 0)
    assert leader.pid == clusters.appliers[0]
    assert_all(party for party in parties if party is not leader)


def test_waiting_party_dies_again_and_again(clusters: Clusters) -> None:
    first = clusters.start("--quorum", "3", "--quorum-timeout", "60")
    for _ in range(4):
        party = clusters.start("--quorum", "3", "--quorum-timeout", "60")
        party.wait_for("Waiting for")
        party.signal(SIGKILL)
        party.wait()
    second = clusters.start("--quorum", "3", "--quorum-timeout", "60")
    second.wait_for("Waiting for")
    # A round was proposed, to which nobody but these two agreed.
    first.wait_for_line("Waiting for 1 of 3 parties", f"rocess {second.pid} on")
    assert first.code is None, first.output
    assert second.code is None, second.output
    assert clusters.project.applied() == []
    third = clusters.start("--quorum", "3", "--quorum-timeout", "60")
    assert_all([first, second, third])
    assert len(clusters.appliers) == 1


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_too_few_come(clusters: Clusters) -> None:
    parties = [clusters.start("--quorum", "3", "--quorum-timeout", "2") for _ in "12"]
    for party in parties:
        assert party.wait() == 3
    late = max(parties, key=lambda party: party.ended)
    (line,) = late.stderr.strip().splitlines()
    assert "of 3 parties came within 2 seconds. " in line
    assert f"Process {late.pid} on " in line
    retry(clusters, 3)


def test_more_come_than_are_wanted(clusters: Clusters) -> None:
    clusters.hold()
    parties = clusters.start_all(4, quorum=2)
    clusters.wait_for_held()
    # While the plan is applied, and when it is.
    parties += clusters.start_all(2, quorum=2)
    parties[-1].wait_for("The quorum of 2 is there")
    clusters.release()
    parties += clusters.start_all(2, quorum=2)
    assert_all(parties)
    assert_all(clusters.start_all(1, quorum=2))
    assert len(clusters.appliers) == 1


def test_more_come_when_half_is_applied(clusters: Clusters) -> None:
    clusters.project.write("blog/migrations/0001_initial.py", source(HOOK).text(None))
    clusters.project.migrations("blog", {"0002_post": source(HOOK)})
    clusters.path("hooks.py").write_text(
        clusters.path("hooks.py")
        .read_text()
        .replace('"hold").exists()', '"hold").exists() and has_applied_one()')
        + "\ndef has_applied_one():\n"
        '    return len((HERE / "applied.log").read_text().split()) == 2\n'
    )
    clusters.hold()
    parties = clusters.start_all(2)
    clusters.wait_for_held()
    # It sees one migration to apply, where the others saw two.
    late = clusters.start("--quorum", "2")
    late.wait_for("The quorum of 2 is there")
    clusters.release()
    assert_all([*parties, late])
    assert len(clusters.appliers) == 2


@pytest.mark.parametrize("number", [SIGKILL, SIGTERM])
def test_follower_goes(clusters: Clusters, number: Signals) -> None:
    clusters.hold()
    parties = clusters.start_all(3)
    leader, (gone, other) = clusters.leading(parties)
    gone.wait_for("The quorum of 3 is there")
    gone.signal(number)
    assert gone.wait() == (128 + number if number is SIGTERM else -number), gone.output
    clusters.wait_for_beats(leader, LEASE)
    clusters.release()
    assert_all([leader, other])


def test_different_numbers(clusters: Clusters) -> None:
    two = clusters.start("--quorum", "3")
    two.wait_for("Waiting for")
    parties = [two, clusters.start("--quorum", "2")]
    assert_all(parties, 4)
    for party in parties:
        for other, size in zip(parties, (3, 2), strict=True):
            assert re.search(
                rf"rocess {other.pid} on [^;:,]* wants a quorum of {size}, ",
                party.stderr,
            ), party.output
        assert "both for blog.0001_initial" in party.stderr
    assert clusters.project.applied() == []
    retry(clusters)


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_different_code(clusters: Clusters) -> None:
    old = clusters.start_all(2, quorum=3)
    for party in old:
        party.wait_for("Waiting for")
    clusters.project.migrations("blog", {"0002_slug": source(ADD, HOOK)})
    started = time.monotonic()
    new = clusters.start_all(1, quorum=3)
    assert_all([*old, *new], 4)
    assert max(party.ended for party in [*old, *new]) - started < PROMPTLY
    for party in [*old, *new]:
        assert "for blog.0001_initial [" in party.stderr
        assert "for blog.0001_initial, blog.0002_slug [" in party.stderr
    assert clusters.appliers == []


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_applying_party_is_stopped_for_longer_than_the_lease(
    clusters: Clusters,
) -> None:
    clusters.hold()
    leader, others = clusters.leading(clusters.start_all(2))
    leader.signal(SIGSTOP)
    assert_all(others, 4)
    again = clusters.start_all(2)
    for party in again:
        wait_until(partial(waits, party), f"It does not wait: {party.output}")
    clusters.release()
    assert clusters.appliers == [leader.pid]
    leader.signal(SIGCONT)
    assert_all([leader, *again])
    assert clusters.appliers == [leader.pid]


def waits(party: Party) -> bool:
    return "is migrating" in party.stdout or "applies the plan" in party.stdout


def test_follower_is_stopped_for_longer_than_the_lease(clusters: Clusters) -> None:
    clusters.hold()
    leader, (follower,) = clusters.leading(clusters.start_all(2))
    follower.wait_for("The quorum of 2 is there")
    follower.signal(SIGSTOP)
    clusters.wait_for_beats(leader, 2 * LEASE)
    follower.signal(SIGCONT)
    clusters.wait_for_beats(follower, 3)
    assert follower.code is None, follower.output
    clusters.release()
    assert_all([leader, follower])


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_clock_that_is_wrong(clusters: Clusters) -> None:
    clusters.project.extra = (
        "import os, time\n"
        "if os.environ.get('SKEW'):\n"
        "    real = time.time\n"
        "    time.time = lambda: real() + float(os.environ['SKEW'])\n"
    )
    clusters.project.write_settings()
    parties = clusters.start_all(1, quorum=3)
    for skew in ("3600", "-3600"):
        clusters.project.extra = (
            f"import time\nreal = time.time\ntime.time = lambda: real() + {skew}\n"
        )
        parties[-1].wait_for("Waiting for")
        clusters.project.write_settings()
        parties += clusters.start_all(1, quorum=3)
    assert_all(parties)
    assert len(clusters.appliers) == 1


@pytest.mark.parametrize("number", [SIGTERM, SIGHUP])
def test_waiting_party_is_asked_to_stop(clusters: Clusters, number: Signals) -> None:
    party = clusters.start("--quorum", "2")
    party.wait_for("Waiting for")
    party.signal(number)
    assert party.wait() == 128 + number, party.output
    assert party.stderr.strip() == f"CommandError: Stopped by {number.name}."
    # It is not there any more.
    lonely = clusters.start("--quorum", "2", "--quorum-timeout", "1")
    assert lonely.wait() == 3
    assert "Only 1 of 2 parties came" in lonely.stderr


def test_signal_that_is_lost_before_it_waits(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(coordinator: Coordinator) -> Any:
        # As Python does in a callback of its own when a module is imported.
        with suppress(KeyboardInterrupt):
            raise_signal(SIGTERM)
        return make_session(coordinator)

    make_session = Coordinator._make_session
    monkeypatch.setattr(Coordinator, "_make_session", lose)
    with pytest.raises(CommandError, match="Stopped by SIGTERM") as caught:
        clusters.project.call("migrate", quorum=2, quorum_timeout=1)
    assert caught.value.returncode == 128 + SIGTERM


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="A file is locked as a whole.")
def test_long_statement_is_no_false_alarm(clusters: Clusters) -> None:
    clusters.project.migrations(
        "blog",
        {"0002_sleep": source(sleeping(int(3 * LEASE) + 1), HOOK, atomic="False")},
    )
    assert_all(clusters.start_all(2))
    assert len(clusters.appliers) == 2


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="A statement there is short.")
def test_long_statement_is_interrupted(clusters: Clusters) -> None:
    mark = 'm.RunPython(lambda *a: __import__("hooks").mark(), m.RunPython.noop)'
    with clusters.path("hooks.py").open("a") as hooks:
        hooks.write('\ndef mark():\n    (HERE / "held").write_text(str(os.getpid()))\n')
    clusters.project.write(
        "blog/migrations/0001_initial.py",
        source(mark, sleeping(12), atomic="False").text(None),
    )
    leader, (follower,) = clusters.leading(clusters.start_all(2))
    follower.wait_for("The quorum of 2 is there")
    wait_until(is_sleeping, leader.output)
    stopped_at = time.monotonic()
    leader.signal(SIGTERM)
    assert follower.wait() == 4, follower.output
    # Long before the statement is over.
    assert follower.ended < stopped_at + PROMPTLY
    assert "got SIGTERM while it applied" in follower.stderr
    assert leader.wait() == 128 + SIGTERM, leader.output


def sleeping(seconds: int) -> str:
    """An operation with one statement that takes so long."""
    function = "pg_sleep" if UNDER_TEST == "postgresql" else "SLEEP"
    return f'm.RunSQL("SELECT {function}({seconds})")'


def is_sleeping() -> bool:
    """Whether the server is at that."""
    where, running = (
        ("pg_stat_activity WHERE state = 'active'", "query")
        if UNDER_TEST == "postgresql"
        else ("information_schema.processlist WHERE db = DATABASE()", "info")
    )
    with connection.cursor() as cursor:
        # The parameter keeps it from finding itself.
        cursor.execute(
            f"SELECT count(*) FROM {where} AND {running} LIKE %s", ["SELECT %sleep(__)"]
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="PostgreSQL alone has it.")
@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_index_is_created_concurrently(clusters: Clusters) -> None:
    clusters.project.migrations(
        "blog",
        {
            "0002_index": source(
                'm.RunSQL("CREATE INDEX CONCURRENTLY i ON blog_post (title)")',
                HOOK,
                atomic="False",
            )
        },
    )
    parties = clusters.start_all(2)
    parties += [clusters.start() for _ in range(2)]
    assert_all(parties)
    assert len(clusters.appliers) == 2


@pytest.mark.skipif(UNDER_TEST == "postgresql", reason="There twenty come.")
def test_ten_processes_on_one_database(clusters: Clusters) -> None:
    parties = clusters.start_all(10)
    assert_all(parties)
    assert len(clusters.appliers) == 1


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Others can be read meanwhile.")
def test_file_that_is_locked_while_it_is_migrated(clusters: Clusters) -> None:
    fill = '__import__("hooks").fill(e)'
    clusters.project.migrations(
        "blog", {"0002_big": source(f"m.RunPython(lambda a, e: {fill})", HOOK)}
    )
    with clusters.path("hooks.py").open("a") as hooks:
        # More than is kept in memory.
        hooks.write(
            "\ndef fill(editor):\n"
            '    editor.execute("PRAGMA cache_size = 1")\n'
            '    editor.execute("CREATE TABLE big (a)")\n'
            "    for _ in range(20):\n"
            '        editor.execute("INSERT INTO big VALUES (zeroblob(9999))")\n'
            '    (HERE / "hold").touch()\n'
        )
    default = clusters.project.databases["default"]
    options = {**default["OPTIONS"], "timeout": 0.1}
    clusters.project.databases = {"default": {**default, "OPTIONS": options}}
    clusters.project.write_settings()
    parties = clusters.start_all(2)
    clusters.wait_for_held()
    late = [
        clusters.start(),
        clusters.start("--check"),
        *clusters.start_all(1, quorum=2),
    ]
    for party in late:
        party.wait_for("Another process is migrating this database")
    clusters.release()
    assert_all([*parties, *late])
    assert len(clusters.appliers) == 2
