"""Have many parties meet again and again on a real store, and count who leads.

``tox run -e bench-quorum``, or where Django and the app are installed::

    python tests/bench/elections.py [--parties 50] [--rounds 200] [--store NAME]

In a round that many parties, threads of one process with connections of their own, come
at random moments of half a second. There is no lock of a database: who leads is decided
in the store alone, on whose atomic operations everything rests here. It fails if in any
round not exactly one of them leads, or if not all learn that the plan is applied.

``--store`` is "redis" (the default) or "memcached", which start a server, or
"database", a SQLite file. A round takes about three seconds of CPU time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import django
from django.conf import settings
from servers import serving

BACKENDS = {
    "redis": "django.core.cache.backends.redis.RedisCache",
    "memcached": "django.core.cache.backends.memcached.PyMemcacheCache",
}
LEASE = 30.0
TIMEOUT = 120.0
SPAN = 0.5


def configure(name: str, port: int, folder: Path) -> None:
    """Have the parties meet on that store."""
    backend = "syzygy.quorum.backends.cache.CacheQuorum"
    caches = {}
    if name == "database":
        backend = "syzygy.quorum.backends.database.DatabaseQuorum"
    else:
        where = f"127.0.0.1:{port}"
        caches["default"] = {
            "BACKEND": BACKENDS[name],
            "LOCATION": f"redis://{where}" if name == "redis" else where,
        }
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "database",
                "OPTIONS": {"timeout": TIMEOUT},
            }
        },
        CACHES=caches,
        MIGRATION_QUORUM_BACKEND={"backend": backend, "lease": LEASE},
    )
    django.setup()


class Round:
    """What the parties of a round see of the world: nothing but the plan."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.name = uuid.uuid4().hex
        self.applied = False
        self.outcomes: Counter[str] = Counter()
        self._turns = threading.Lock()

    def is_applied(self) -> bool:
        return self.applied

    is_known_applied = is_applied

    def take_lock(self) -> bool | None:
        return None

    is_idle = take_lock

    def lock_holder(self) -> str:
        return ""

    def say(self, text: str) -> None:
        pass

    def run(self) -> None:
        """Let all of them come, and wait until they have gone."""
        parties = [
            threading.Thread(target=self._take_part, args=[number])
            for number in range(self.size)
        ]
        for party in parties:
            party.start()
        for party in parties:
            party.join()

    def _take_part(self, number: int) -> None:
        from django.db import connections

        time.sleep(random.uniform(0, SPAN))
        try:
            outcome = self._meet(number)
        except Exception as error:  # noqa: BLE001 - it is counted, and told
            outcome = f"{type(error).__name__}: {error!s:.90}"
        finally:
            connections.close_all()
        with self._turns:
            self.outcomes[outcome] += 1

    def _meet(self, number: int) -> str:
        from django.db import connection

        from syzygy.quorum.backends.base import RosterQuorum
        from syzygy.quorum.configuration import make_backend
        from syzygy.quorum.protocol import Participant
        from syzygy.quorum.records import Record
        from syzygy.quorum.session import Outcome, Session
        from syzygy.quorum.worker import Worker
        from syzygy.quorum.world import Settings

        original = connection.copy()
        original.inc_thread_sharing()

        def make_store() -> RosterQuorum:
            made = make_backend()
            assert isinstance(made, RosterQuorum)
            made.bind(original)
            return made

        worker = Worker(make_store)
        record = Record(uuid.uuid4().hex, "host", number, self.size, "plan", "a plan")
        participant = Participant(
            record,
            lease=LEASE,
            deadline=time.monotonic() + TIMEOUT,
            make_ballot=lambda: uuid.uuid4().hex[:12],
        )
        ahead = time.time() - time.monotonic()
        session = Session(
            Settings(self.name, TIMEOUT, LEASE, ahead), worker, participant, self
        )
        try:
            outcome = session.gather()
            if outcome is Outcome.LEADS:
                with session.applying():
                    self.applied = True
        finally:
            worker.close()
        return outcome.value


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parties", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--store", choices=[*BACKENDS, "database"], default="redis")
    options = parser.parse_args()
    if options.parties < 2:
        parser.error("--parties has to be at least 2.")
    expected = {"leads": 1, "followed": options.parties - 1}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(options.store) as port,
    ):
        configure(options.store, port, Path(folder))
        for number in range(1, options.rounds + 1):
            found = Round(options.parties)
            found.run()
            if found.outcomes != expected:
                raise SystemExit(f"Round {number}: {dict(found.outcomes)}")
    sys.stdout.write(
        f"{options.store}, {options.parties} parties, {options.rounds} rounds: "
        "one leader in each\n"
    )


if __name__ == "__main__":
    main()
