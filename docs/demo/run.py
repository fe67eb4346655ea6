"""Deploy release 2 of a small library over release 1 while requests keep coming.

    python docs/demo/run.py

Needs Django and Syzygy in the interpreter that runs it, nothing else. The database is
an SQLite file in a scratch directory, the servers and commands are real processes of
the two source trees beside this file, and the clients talk HTTP to the servers.

Two deployments of the same migrations are shown: the staged one, in which no request
may fail, and the one of plain Django, in which requests must fail. The exit status is
0 if both went that way, 1 if not.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

Process = subprocess.Popen[bytes]

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
RELEASES = (1, 2)

#: Rounds that every live release must complete in every step but the commands, where a
#: request will do. In a round a client creates, lists, reads, changes and deletes rows
#: of each model.
ROUNDS = 4
#: Seconds between the requests of a client, which leave the commands a processor.
PAUSE = 0.002
#: Sets of rows that a release which serves alone leaves behind for the next one.
BACKLOG = 3
#: Seconds to wait for a server, a command or the rounds of a step.
PATIENCE = 180
#: What every ``migrate`` says first; the timeline leaves it out.
PREAMBLE = ("Operations to perform:", "Apply all migrations:", "Running migrations:")


class DemoFailed(Exception):
    """The deployment didn't go as it should; the message says what happened."""


class RequestFailed(Exception):
    """A request got another answer than it should; it is in the ledger already."""


class Interrupts:
    """Ctrl-C and its like: raised once, and not while processes start or end."""

    def __init__(self) -> None:
        self.holding = False
        self.waiting = False

    def catch(self) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if number := getattr(signal, name, None):
                signal.signal(number, self.arrive)

    def arrive(self, number: int, frame: object) -> None:
        self.waiting = True
        if not self.holding:
            self.strike()

    def strike(self) -> NoReturn:
        self.holding = True
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        before, self.holding = self.holding, True
        try:
            yield
        finally:
            self.holding = before
        if self.waiting and not before:
            self.strike()


interrupts = Interrupts()


# What is counted


@dataclass
class Tally:
    """What one release did in one step."""

    ok: int = 0
    failed: int = 0
    rounds: int = 0
    #: Sets of rows that the other release wrote, and this one read, changed, deleted.
    crossed: int = 0

    @property
    def requests(self) -> int:
        return self.ok + self.failed

    def __str__(self) -> str:
        failures = f", {self.failed} failed" if self.failed else ""
        return f"{self.ok:>3} ok{failures}"


class Ledger:
    """The tallies of the current step and of the whole deployment."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.step = {release: Tally() for release in RELEASES}
        self.total = {release: Tally() for release in RELEASES}
        self.errors: dict[int, Counter[str]] = {rel: Counter() for rel in RELEASES}

    def count(self, release: int, **counts: int) -> None:
        with self.changed:
            for name, count in counts.items():
                for tally in (self.step[release], self.total[release]):
                    setattr(tally, name, getattr(tally, name) + count)
            self.changed.notify_all()

    def fail(self, release: int, error: str) -> None:
        self.errors[release][error] += 1
        self.count(release, failed=1)

    def totals(self) -> tuple[int, int, int]:
        """Return how many requests were ok, failed, and rows crossed releases."""
        tallies = self.total.values()
        return (
            sum(tally.ok for tally in tallies),
            sum(tally.failed for tally in tallies),
            sum(tally.crossed for tally in tallies),
        )

    def examples(self, release: int) -> list[str]:
        """Return the most frequent errors of a release, three at most."""
        errors = self.errors[release].most_common(3)
        return [f"  release {release}  {error}" for error, _ in errors]

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)

    def close_step(self) -> dict[int, Tally]:
        with self.changed:
            closed, self.step = self.step, {release: Tally() for release in RELEASES}
        return closed


# Who makes the requests


@dataclass
class Rows:
    """An author's book, lent to a member: written by a release, for the other one."""

    release: int
    #: path -> what was written there, in the order of creation
    written: dict[str, dict[str, Any]] = field(default_factory=dict)


class Exchange:
    """Where the clients leave rows for each other."""

    def __init__(self) -> None:
        self.waiting: list[Rows] = []
        self.lock = threading.Lock()

    def put(self, rows: Rows) -> None:
        with self.lock:
            self.waiting.append(rows)

    def take(self, release: int) -> Rows | None:
        """Return the other release's oldest rows, else old ones of its own."""
        with self.lock:
            others = [rows for rows in self.waiting if rows.release != release]
            own = [rows for rows in self.waiting if rows.release == release]
            chosen = others[0] if others else own[0] if len(own) > BACKLOG else None
            if chosen:
                self.waiting.remove(chosen)
        return chosen


class Client(threading.Thread):
    """Requests to one release, one after the other, until it is stopped."""

    numbers = itertools.count(1)

    def __init__(
        self, release: int, port: int, ledger: Ledger, exchange: Exchange
    ) -> None:
        super().__init__(name=f"client of release {release}", daemon=True)
        self.release = release
        self.ledger = ledger
        self.exchange = exchange
        self.connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        self.stopping = threading.Event()

    def stop(self) -> None:
        """Let the current round end, as a load balancer drains a server."""
        self.stopping.set()
        self.join(PATIENCE)

    def run(self) -> None:
        while not self.stopping.is_set():
            for part in (self.lists, self.own_row, self.give, self.take):
                with contextlib.suppress(RequestFailed):
                    part()
            self.ledger.count(self.release, rounds=1)

    def lists(self) -> None:
        names = ["books", "reviews" if self.release == 1 else "reservations"]
        for name in names:
            with contextlib.suppress(RequestFailed):
                self.call("GET", f"/{name}/")

    def own_row(self) -> None:
        """Create, read, change and delete a row at once."""
        path, _ = self.create("members", self.member())
        self.read(path, {"name": "Ada"})
        self.change(path, {"name": "Ada Lovelace"})
        self.delete(path)

    def give(self) -> None:
        """Write rows of every model and leave them for the other release."""
        rows = Rows(self.release)

        def create(name: str, body: dict[str, Any]) -> int:
            path, pk = self.create(name, body)
            rows.written[path] = body
            return pk

        author = create("authors", {"name": "Franz Kafka"})
        own = {"shelf": "K 12"} if self.release == 1 else {"language": "cs"}
        book = create("books", {"title": "The Trial", "author_id": author} | own)
        member = create("members", self.member())
        both = {"book_id": book, "member_id": member}
        create("loans", both | {"due": "2030-01-31"})
        if self.release == 1:
            self.create("reviews", {"book_id": book, "text": "Well ..."})
        else:
            self.create("reservations", both)
        self.exchange.put(rows)

    def take(self) -> None:
        """Read, change and delete the rows that the other release wrote."""
        rows = self.exchange.take(self.release)
        if rows is None:
            return
        changes: dict[str, dict[str, Any]] = {
            "authors": {"name": "F. Kafka"},
            "books": {"title": "The Castle"},
            "members": {"name": "Ada King"},
            "loans": {"due": "2030-02-28"},
        }
        for path, body in rows.written.items():
            # A release knows only its own columns of a book.
            known = {k: v for k, v in body.items() if k not in {"shelf", "language"}}
            self.read(path, known)
            self.change(path, changes[path.split("/")[1]])
        author, book, member, loan = rows.written
        # The book goes with its loan, and with reviews or reservations that this
        # release may know nothing of.
        for path in (book, member, author):
            self.delete(path)
        self.call("GET", loan, expect=404)
        if rows.release != self.release:
            self.ledger.count(self.release, crossed=1)

    def member(self) -> dict[str, Any]:
        number = next(self.numbers)
        return {"name": "Ada", "email": f"Ada.{number}@Example.org"}

    def create(self, name: str, body: dict[str, Any]) -> tuple[str, int]:
        pk = self.call("POST", f"/{name}/", body)["id"]
        return f"/{name}/{pk}/", pk

    def read(self, path: str, written: dict[str, Any]) -> None:
        """Read a row; it must hold what was written, and no field without value."""

        def fault(row: dict[str, Any]) -> str | None:
            for name in row.keys() | written.keys():
                value = row.get(name)
                expected = written.get(name, value)
                # Release 2 lowers the case of addresses.
                if value is None or str(value).lower() != str(expected).lower():
                    return f"200 {name} is {value!r} instead of {expected!r}"
            return None

        self.call("GET", path, fault=fault)

    def change(self, path: str, body: dict[str, Any]) -> None:
        self.call("PATCH", path, body)
        self.read(path, body)

    def delete(self, path: str) -> None:
        self.call("DELETE", path, expect=204)
        self.call("GET", path, expect=404)

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        expect: int = 200,
        fault: Callable[[dict[str, Any]], str | None] = lambda row: None,
    ) -> dict[str, Any]:
        """Make one request, enter it in the ledger, return the JSON of the answer."""
        self.stopping.wait(PAUSE)
        answer: dict[str, Any] = {}
        try:
            with contextlib.closing(self.connection) as connection:
                connection.request(method, path, json.dumps(body) if body else None)
                response = connection.getresponse()
                content = response.read()
            answer = json.loads(content) if content else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem: str | None = f"{type(error).__name__}: {error}"
        else:
            if response.status != expect:
                problem = f"{response.status} {answer.get('error', '')}"
            else:
                problem = fault(answer)
        if problem:
            place = re.sub(r"\d+", "<id>", path)
            self.ledger.fail(self.release, f"{method:<6} {place:<16} {problem}")
            raise RequestFailed
        self.ledger.count(self.release, ok=1)
        return answer


# What is deployed


class Deployment:
    """A database, the releases that use it, and the timeline of what happens.

    No process that it starts outlives its ``with`` block.
    """

    def __init__(self, scratch: Path, settings: str, *, forgiving: bool) -> None:
        self.scratch = scratch
        self.forgiving = forgiving
        # Everything is compiled once, and nothing written into the source trees.
        self.env = {"PYTHONPYCACHEPREFIX": str(scratch.parent / "bytecode")}
        self.env |= os.environ
        self.env |= {
            "DJANGO_SETTINGS_MODULE": settings,
            "LIBRARY_DATABASE": str(scratch / "library.sqlite3"),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONUNBUFFERED": "1",
        }
        self.ledger = Ledger()
        self.exchange = Exchange()
        self.live: dict[int, tuple[Client, Process]] = {}
        self.processes: list[Process] = []
        self.began = time.monotonic()

    def __enter__(self) -> Deployment:
        self.scratch.mkdir()
        write(bold(row("time", "step", "live", "release 1", "release 2")))
        return self

    def __exit__(self, *exc_info: object) -> None:
        with interrupts.held():
            for client, _ in self.live.values():
                client.stop()
            for process in list(self.processes):
                self.end(process)

    # Steps of the timeline

    def migrate(self, release: int, *options: str) -> None:
        """Run the command to its end; whoever is live keeps serving meanwhile."""
        command = " ".join(["migrate", *options])
        output = self.scratch / f"migrate_{len(list(self.scratch.iterdir()))}.txt"
        with self.step(f"release {release}: {command}", rounds=0) as notes:
            process = self.start(release, ["migrate", *options], output)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired as error:
                raise DemoFailed(
                    f"'manage.py {command}' wasn't done after {PATIENCE} seconds."
                ) from error
            finally:
                self.end(process)
            lines = output.read_text().splitlines()
            applied = sum("Applying " in line for line in lines)
            if process.returncode or not self.forgiving:
                notes += [ln for ln in lines if not ln.strip().startswith(PREAMBLE)]
            else:
                notes.append(f"  Migrations applied: {applied}")
        if process.returncode:
            raise DemoFailed(
                f"'manage.py {command}' exited with status {process.returncode}."
            )
        if not applied:
            raise DemoFailed(f"'manage.py {command}' applied no migration.")

    def serve(self, release: int) -> None:
        """Start a server and send it requests."""
        output = self.scratch / f"server_{release}.txt"
        # Port 0 is any free one.
        args = ["runserver", "--noreload", "--nothreading", f"{HOST}:0"]
        with self.step(f"release {release}: runserver", ROUNDS):
            process = self.start(release, args, output)
            port = self.wait_for_port(process, output)
            client = Client(release, port, self.ledger, self.exchange)
            self.live[release] = client, process
            client.start()

    def retire(self, release: int) -> None:
        """Send no more requests to a release and stop its server."""
        with self.step(f"release {release}: stopped", ROUNDS):
            client, process = self.live.pop(release)
            client.stop()
            self.end(process)

    def carry_on(self, text: str) -> None:
        """Only serve."""
        with self.step(text, ROUNDS):
            pass

    # What a step is made of

    @contextlib.contextmanager
    def step(self, text: str, rounds: int) -> Iterator[list[str]]:
        """Do the block, wait for the rounds, print what happened meanwhile.

        Yields a list that takes the lines to show below the row. Raises DemoFailed
        if a live release served nothing or, unless forgiven, failed to serve.
        """
        notes: list[str] = []
        alive = set(self.live)
        began = time.monotonic() - self.began
        yield notes
        in_time = self.ledger.wait_for(lambda: self.enough(rounds))
        alive |= set(self.live)
        tallies = self.ledger.close_step()
        live = " + ".join(str(release) for release in sorted(self.live)) or "-"
        cells = [str(tallies[rel]) if rel in alive else "  -" for rel in RELEASES]
        write(row(f"{began:.1f} s", text, live, *cells))
        for line in notes:
            write(dim(clipped(f"          {line}".rstrip())))
        for release, tally in tallies.items():
            if tally.failed and not self.forgiving:
                raise DemoFailed(
                    f"{tally.failed} of {tally.requests} requests to release "
                    f"{release} failed during '{text}', for example\n"
                    + "\n".join(self.ledger.examples(release))
                )
            # One that was stopped may have been between two requests.
            if release in self.live and not tally.requests:
                raise DemoFailed(f"Release {release} got no request during '{text}'.")
        if not in_time:
            raise DemoFailed(f"'{text}' wasn't done after {PATIENCE} seconds.")

    def enough(self, rounds: int) -> bool:
        """Tell whether each live release did its rounds, and with rows of the other."""
        tallies = [self.ledger.step[release] for release in self.live]
        # Where requests fail, rows may never reach the other release.
        crossing = len(tallies) > 1 and not any(tally.failed for tally in tallies)
        return all(
            tally.requests
            and tally.rounds >= rounds
            and (tally.crossed >= rounds or not crossing)
            for tally in tallies
        )

    def start(self, release: int, args: list[str], output: Path) -> Process:
        with interrupts.held(), output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *args],
                cwd=HERE / f"release_{release}",
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            self.processes.append(process)
        return process

    def end(self, process: Process) -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.processes.remove(process)

    def wait_for_port(self, process: Process, output: Path) -> int:
        """Return the port, which the server prints once it listens."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            text = output.read_text()
            if match := re.search(rf"http://{re.escape(HOST)}:(\d+)/", text):
                return int(match[1])
            if ended:
                raise DemoFailed(f"A server ended at once:\n{text.strip()}")
            time.sleep(0.02)
        raise DemoFailed(f"A server didn't listen after {PATIENCE} seconds.")


def staged(scratch: Path) -> None:
    """Deploy in stages; raise DemoFailed if any request fails."""
    write(bold("Staged, with Syzygy"))
    with Deployment(scratch, "config.settings", forgiving=False) as deployment:
        deployment.migrate(1)
        deployment.serve(1)
        deployment.migrate(2, "--pre-deploy")
        deployment.carry_on("old code, intermediate schema")
        deployment.serve(2)
        deployment.retire(1)
        deployment.migrate(2)
        deployment.carry_on("new code, new schema")
    ok, failed, crossed = deployment.ledger.totals()
    if failed:
        raise DemoFailed(f"{failed} requests failed when the deployment was over.")
    write(
        f"No request failed, of {ok}. Rows of one release were read, changed and "
        f"deleted\nby the other {crossed} times."
    )


def plain(scratch: Path) -> None:
    """Deploy with plain Django; raise DemoFailed if no request fails."""
    write(bold("Plain Django, the same migrations, all of them before the rollout"))
    with Deployment(scratch, "config.settings_plain", forgiving=True) as deployment:
        deployment.migrate(1)
        deployment.serve(1)
        deployment.migrate(2)
        deployment.carry_on("old code, new schema")
        deployment.serve(2)
        deployment.retire(1)
    ok, failed, _ = deployment.ledger.totals()
    if not failed:
        raise DemoFailed(f"None of {ok} requests failed, though some should have.")
    write(f"{failed} of {ok + failed} requests failed, for example")
    for release in RELEASES:
        for line in deployment.ledger.examples(release):
            write(line)


# How it is shown


def row(time: str, step: str, live: str, *releases: str) -> str:
    cells = "".join(f"  {cell:<18}" for cell in releases)
    return f"{time:>6}  {step:<31}  {live:<5}{cells}".rstrip()


def write(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def styled(code: int, text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def clipped(text: str) -> str:
    """Return what of the text fits in a line of the terminal, if there is one."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return text if len(text) <= width else f"{text[: width - 1]}…"


def bold(text: str) -> str:
    return styled(1, text)


def dim(text: str) -> str:
    return styled(2, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--staged", action="store_true", help="only the staged one")
    only.add_argument("--plain", action="store_true", help="only plain Django")
    parser.add_argument("--keep", action="store_true", help="keep the scratch files")
    options = parser.parse_args()
    for package in ("django", "syzygy"):
        if importlib.util.find_spec(package) is None:
            sys.stderr.write(
                f"The package '{package}' isn't installed for {sys.executable}: "
                f"run '{sys.executable} -m pip install {HERE.parent.parent}'.\n"
            )
            return 2
    interrupts.catch()
    scratch = Path(tempfile.mkdtemp(prefix="syzygy-demo-"))
    try:
        if not options.plain:
            staged(scratch / "staged")
        if not options.staged:
            if not options.plain:
                write()
            plain(scratch / "plain")
    except DemoFailed as failure:
        write(f"\nThe demo failed. {failure}")
        return 1
    except KeyboardInterrupt:
        write("\nInterrupted; every process was stopped.")
        return 130
    finally:
        if options.keep:
            write(f"\nThe databases and outputs are in {scratch}.")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
