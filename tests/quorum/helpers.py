"""Parties of a quorum: real processes, which may be killed and stopped."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from warnings import catch_warnings, simplefilter

from django.conf import settings
from django.db import connection
from django.test import override_settings

from syzygy.quorum.backends.base import RosterQuorum
from syzygy.quorum.configuration import make_backend
from syzygy.quorum.identity import namespace
from syzygy.quorum.pace import BEAT, HEARTBEAT
from syzygy.quorum.records import Phase, Record, decode
from tests.command_helpers import Project, environment, source
from tests.services import SERVICES, UNDER_TEST

# So long may anything take that is waited for.
LIMIT = 120.0

HOOK_MODULE = '''
import os, time
from pathlib import Path

HERE = Path(__file__).parent

def wait(name):
    limit = time.monotonic() + 60
    while not (HERE / name).exists():
        assert time.monotonic() < limit, name
        time.sleep(0.01)

def run(apps, editor):
    """Leave a line, and do what the test wants."""
    with (HERE / "applied.log").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    if (HERE / "hold").exists():
        (HERE / "held").write_text(str(os.getpid()))
        wait("release")
    if (HERE / "fail").exists():
        (HERE / "failed").write_text(str(time.monotonic()))
        raise RuntimeError("The disk is full")
'''
HOOK = 'm.RunPython(lambda *a: __import__("hooks").run(*a), m.RunPython.noop)'
HOOK_BACK = (
    'm.RunPython(lambda *a: __import__("hooks").run(*a), '
    'lambda *a: __import__("hooks").run(*a))'
)


def wait_until(
    condition: Callable[[], Any],
    what: str = "",
    limit: float = LIMIT,
    pause: float = 0.02,
) -> Any:
    """Return what the condition returns as soon as it is true."""
    end = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < end, what or condition
        time.sleep(pause)
    return value


@dataclass
class Party:
    """A process that was started."""

    number: int
    folder: Path
    known_pid: int = 0
    code: int | None = None
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    @property
    def pid(self) -> int:
        """The process number; what the process did may be seen before that is told."""
        return int(wait_until(lambda: self.known_pid, "It did not start."))

    @property
    def stdout(self) -> str:
        return self._read("out")

    @property
    def stderr(self) -> str:
        return self._read("err")

    def _read(self, name: str) -> str:
        path = self.folder / f"{self.number}.{name}"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def output(self) -> str:
        return f"[{self.pid}: exit {self.code}]\n{self.stdout}\n{self.stderr}"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, limit: float = LIMIT) -> int:
        """Return the exit code."""
        wait_until(lambda: self.code is not None, self.output, limit)
        assert self.code is not None
        return self.code

    def wait_for(self, text: str) -> None:
        """Wait until it says that."""
        wait_until(
            lambda: text in self.stdout or self.code is not None,
            f"{text!r} is not in {self.output}",
        )
        assert text in self.stdout, self.output

    def wait_for_line(self, *texts: str) -> None:
        """Wait until it says all of that in one line."""
        wait_until(
            lambda: any(
                all(text in line for text in texts) for line in self.stdout.splitlines()
            ),
            f"{texts!r} is not in {self.output}",
        )


class PartyServer:
    """Starts parties quickly; see :mod:`tests.quorum.party_server`.

    Measuring the coverage takes longer than all else that a party does, so only some
    are measured.
    """

    def __init__(self, folder: Path, *, is_measured: bool = False) -> None:
        folder.mkdir()
        inherited = environment(is_measured=is_measured)
        self._folder = folder
        self._parties: dict[int, Party] = {}
        self._lock = threading.Lock()
        self._environment = inherited | {
            "SYZYGY_MANAGE_SERVER": str(Path(__file__).parent.parent)
        }
        # What it imports for all of them is compiled once, not by each server.
        del self._environment["PYTHONDONTWRITEBYTECODE"]

    @cached_property
    def _process(self) -> subprocess.Popen[str]:
        """It is started when it is first needed: it imports much."""
        process = subprocess.Popen(
            [
                sys.executable,
                Path(__file__).with_name("party_server.py"),
                f"django.db.backends.{SERVICES[UNDER_TEST].engine}.base",
            ],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(
            target=self._listen, args=(process.stdout,), daemon=True
        )
        self._thread.start()
        return process

    def _listen(self, told: IO[str]) -> None:
        for line in told:
            values = json.loads(line)
            party = self._parties[values["number"]]
            if "pid" in values:
                party.known_pid = values["pid"]
            else:
                party.ended = values["ended"]
                party.code = values["code"]

    def start(self, directory: Path, arguments: Sequence[str]) -> Party:
        with self._lock:
            party = Party(len(self._parties), self._folder)
            self._parties[party.number] = party
        order = {
            "number": party.number,
            "directory": str(directory),
            "arguments": arguments,
            "stdout": str(self._folder / f"{party.number}.out"),
            "stderr": str(self._folder / f"{party.number}.err"),
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return party

    def kill_all(self) -> None:
        """Leave no party that would hold a lock."""
        for party in self._parties.values():
            if party.code is None:
                with suppress(ProcessLookupError):
                    party.signal(signal.SIGKILL)
                party.wait()

    def close(self) -> None:
        if "_process" not in vars(self):
            return
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()
        self._thread.join()


@dataclass
class Clusters:
    """Several clusters that run the same project on the same database."""

    project: Project
    server: PartyServer
    backend: dict[str, Any]

    def __post_init__(self) -> None:
        self.project.write("hooks.py", HOOK_MODULE)
        self.project.settings["MIGRATION_QUORUM_BACKEND"] = self.backend
        self.project.write_settings()

    def path(self, name: str) -> Path:
        return self.project.path / name

    def start(self, *arguments: str) -> Party:
        return self.server.start(self.project.path, ["migrate", *arguments])

    def start_all(self, count: int, *arguments: str, quorum: int = 0) -> list[Party]:
        wanted = str(quorum or count)
        return [
            self.start("--quorum", wanted, "--quorum-timeout", "30", *arguments)
            for _ in range(count)
        ]

    def run(self, *arguments: str) -> Party:
        return self.command("migrate", *arguments)

    def command(self, *arguments: str) -> Party:
        party = self.server.start(self.project.path, arguments)
        party.wait()
        return party

    def hold(self) -> None:
        """Have the next migration wait in the middle."""
        self.path("release").unlink(missing_ok=True)
        self.path("held").unlink(missing_ok=True)
        self.path("hold").touch()

    def wait_for_held(self) -> int:
        """Return the process number of the party that is in the middle."""
        return int(wait_until(lambda: self._text("held"), "Nobody applies it."))

    def release(self) -> None:
        self.path("hold").unlink(missing_ok=True)
        self.path("release").touch()

    @contextmanager
    def store(self) -> Iterator[Callable[[], dict[int, Record]]]:
        """A function that returns what the parties wrote, by process number."""
        configured = self.project.settings.get("CACHES", settings.CACHES)
        with override_settings(
            CACHES=configured, MIGRATION_QUORUM_BACKEND=self.backend
        ):
            quorum = make_backend()
            assert isinstance(quorum, RosterQuorum)
            quorum.bind(connection)
            place = namespace(connection)

            def read() -> dict[int, Record]:
                records = map(decode, quorum.read(place, 3).values())
                return {record.pid: record for record in records if record}

            yield read
            quorum.close()
        with catch_warnings():
            # The clients for Redis leave their connections open.
            simplefilter("ignore", ResourceWarning)
            vars(quorum).clear()
            gc.collect()

    def wait_for_beats(self, party: Party, seconds: float) -> None:
        """Wait until it has given signs of life for so long."""
        with self.store() as read:
            first = wait_until(lambda: read().get(party.pid), party.output, pause=0.1)
            every = HEARTBEAT if first.phase is Phase.APPLYING else BEAT
            last = first.beat + math.ceil(seconds / every)

            def has_beaten() -> bool:
                record = read().get(party.pid)
                return record is not None and record.beat >= last

            wait_until(has_beaten, party.output, pause=0.1)

    def _text(self, name: str) -> str:
        path = self.path(name)
        return path.read_text() if path.exists() else ""

    @property
    def failed_at(self) -> float:
        """When the migration with the hook raised an error."""
        return float(self._text("failed"))

    @property
    def appliers(self) -> list[int]:
        """The processes that ran the migration with the hook, in order."""
        return [int(line) for line in self._text("applied.log").split()]

    def leading(self, parties: Iterable[Party]) -> tuple[Party, list[Party]]:
        """The party that is in the middle, and the others."""
        pid = self.wait_for_held()
        parties = list(parties)
        (leader,) = (party for party in parties if party.pid == pid)
        return leader, [party for party in parties if party is not leader]


def codes(parties: Iterable[Party]) -> list[int]:
    return [party.wait() for party in parties]


def outputs(parties: Iterable[Party]) -> str:
    return "\n".join(party.output for party in parties)


def assert_all(parties: Iterable[Party], code: int = 0) -> None:
    parties = list(parties)
    assert codes(parties) == [code] * len(parties), outputs(parties)
    for party in parties:
        assert "Traceback" not in party.stderr, party.output
        assert "database is locked" not in party.output, party.output


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A server of this test's own, which may be killed."""

    def __init__(self, name: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.name = name
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._file: IO[str] | None = None
        self.start()

    def start(self) -> None:
        if self.name == "redis":
            command = ["redis-server", "--port", str(self.port), "--save", "", "--bind"]
            command += ["127.0.0.1", "--dir", str(self._folder), *self._options]
        elif self.name == "pgbouncer":
            # It refuses to run as root, and reads its file as whom it runs as.
            file = self._file = NamedTemporaryFile("w", suffix=".ini")  # noqa: SIM115
            file.write("\n".join([*self._options, f"listen_port={self.port}"]))
            file.flush()
            Path(file.name).chmod(0o644)
            command = ["setpriv", "--reuid=nobody", "--clear-groups"]
            command = [*(command if os.getuid() == 0 else []), "pgbouncer", file.name]
        else:
            command = ["memcached", "-p", str(self.port), "-l", "127.0.0.1", "-U", "0"]
            command += ["-u", "nobody", *self._options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self.listens, f"{self.name} did not start")

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def ask(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(65536).decode()

    def flush(self) -> None:
        self.ask("FLUSHALL" if self.name == "redis" else "flush_all")

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None
        if self._file is not None:
            self._file.close()


def quick(name: str, *operations: str) -> dict[str, Any]:
    """A migration with the hook."""
    return {name: source(*operations, HOOK)}
