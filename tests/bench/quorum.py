"""The benchmark of the quorum: what it costs to go together, and to wait.

``tox run -e bench-quorum``, or where Django and the app are installed::

    python tests/bench/quorum.py [--parties 2,5,10] [--rounds N] [--within SECONDS]
                                 [--store NAME] [--wait SECONDS]

In a round one process migrates an empty SQLite database alone; then N do so together,
on another one. They come at random moments of a span that ends when the last of them
comes, and all others wait by then. Compared are the time from the start of the last one
to the end of all, and that of the process that was alone. The target is 0.3 seconds
more in the median and 0.6 at the 95th percentile.

The span takes ``--within`` seconds. What a party does depends on how long it has waited
only at the end of its first minute, so that ten seconds, the default, tell what a
minute, for which the targets are, would: ``--within 60`` shows that.

Then one process waits alone for ``--wait`` seconds, and the questions to the store are
counted: targets are five a second in the first minute and one later.

``--store`` is "database" (the default) or "redis", which starts a server. With the
defaults it takes about fifteen minutes. A missed target isn't a failure; a command that
fails is one. On a busy machine, or one with fewer processors than parties, the
processes wait for each other: look at ``uptime`` first.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from servers import serving

STORES = {
    "database": '"syzygy.quorum.backends.database.DatabaseQuorum"',
    "redis": '"syzygy.quorum.backends.cache.CacheQuorum"',
}
SETTINGS = """
SECRET_KEY = "not a secret"
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "{folder}/database",
    "OPTIONS": {{"init_command": "PRAGMA synchronous=OFF"}},
}}}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "syzygy"]
MIGRATION_QUORUM_BACKEND = {backend}
CACHES = {{"default": {{
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": "redis://127.0.0.1:{port}",
}}}}
"""
COUNT = """
import atexit, sys, time
from syzygy.quorum.pace import Pace
asked = []
spend = Pace.spend
def count(self, operations):
    asked.extend([time.monotonic()] * operations)
    spend(self, operations)
Pace.spend = count
def tell():
    early = sum(at - asked[0] < 60 for at in asked)
    sys.stderr.write(f"ASKED {early} {len(asked) - early}\\n")
atexit.register(tell)
"""


class Bench:
    """A project, and processes of it."""

    def __init__(self, folder: Path, store: str, port: int) -> None:
        self.folder = folder
        settings = SETTINGS.format(folder=folder, backend=STORES[store], port=port)
        (folder / "settings.py").write_text(settings)
        (folder / "counting.py").write_text(settings + COUNT)
        self.start("settings", "check").wait()

    def start(self, settings: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "django", *arguments],
            cwd=self.folder,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": settings,
                "PYTHONPATH": os.pathsep.join(
                    [str(self.folder), os.environ.get("PYTHONPATH", "")]
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def clean(self) -> None:
        for file in self.folder.glob("database*"):
            file.unlink()

    def alone(self) -> float:
        self.clean()
        started = time.monotonic()
        return finish([self.start("settings", "migrate")]) - started

    def together(self, parties: int, within: float) -> float:
        self.clean()
        quorum = ("migrate", "--quorum", str(parties))
        end = time.monotonic() + within
        waiting: list[subprocess.Popen[str]] = []
        for before in sorted(
            (random.uniform(0, within) for _ in range(parties - 1)), reverse=True
        ):
            time.sleep(max(end - before - time.monotonic(), 0))
            waiting.append(self.start("settings", *quorum))
        for process in waiting:
            assert process.stdout
            while "Waiting for" not in process.stdout.readline():
                assert process.poll() is None, process.communicate()
        # Not in step with anybody, if the machine is slow to start them.
        time.sleep(max(end - time.monotonic(), random.uniform(0, 1)))
        started = time.monotonic()
        return finish([*waiting, self.start("settings", *quorum)]) - started

    def wait(self, seconds: float) -> tuple[float, float]:
        self.clean()
        timeout = ("--quorum-timeout", str(seconds))
        process = self.start("counting", "migrate", "--quorum", "2", *timeout)
        _, errors = process.communicate()
        (line,) = (line for line in errors.splitlines() if line.startswith("ASKED"))
        early, late = map(int, line.split()[1:])
        return early / min(seconds, 60), late / max(seconds - 60, 1)


def finish(processes: list[subprocess.Popen[str]]) -> float:
    """Return when the last of them has ended."""
    for process in processes:
        if process.wait():
            raise SystemExit(process.communicate()[1])
    return time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parties", default="2,5,10")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--within", type=float, default=10.0)
    parser.add_argument("--store", choices=STORES, default="database")
    parser.add_argument("--wait", type=float, default=75.0)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(options.store) as port,
    ):
        bench = Bench(Path(folder), options.store, port)
        write = sys.stdout.write
        for parties in map(int, options.parties.split(",")):
            pairs = [
                (bench.alone(), bench.together(parties, options.within))
                for _ in range(options.rounds)
            ]
            more = [together - alone for alone, together in pairs]
            late = quantiles([*more, *more], n=20, method="inclusive")[-1]
            write(
                f"{options.store}, {parties} parties: alone "
                f"{median(alone for alone, _ in pairs):.2f} s, together that and\n"
                f"    in the median              {verdict(median(more), 0.3)}\n"
                f"    at the 95th percentile     {verdict(late, 0.6)}\n"
            )
            sys.stdout.flush()
        if options.wait:
            early, later = bench.wait(options.wait)
            write(
                f"{options.store}, one that waits: questions a second\n"
                f"    in the first minute        {verdict(early, 5.0)}\n"
                f"    later                      {verdict(later, 1.0)}\n"
            )


def verdict(value: float, target: float) -> str:
    """A figure, what it should be, and whether it is."""
    return f"{value:5.2f}   target {target:.1f}   " + (
        "met" if value <= target else "MISSED"
    )


if __name__ == "__main__":
    main()
