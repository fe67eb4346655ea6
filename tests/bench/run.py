"""The benchmark: what the app costs, compared with Django without it.

``tox run -e bench`` (``bench-quorum`` for ``quorum.py``), or where Django and the app
are installed::

    python tests/bench/run.py [--sizes 500,2000,5000] [--rounds N | --seconds S]
                              [--only NAME] [--null] [--json FILE]

It writes a synthetic project of each size (see ``project.py``) and measures whole
``manage.py`` processes, with settings that differ by the app alone:

======== ================================================================ ======
name     what is compared                                                 target
======== ================================================================ ======
help     ``help``: start-up                                               1.01
plan     ``migrate --plan``, with ``--pre-deploy`` where there is the app 1.03
migrate  ``migrate`` with nothing to apply                                1.02
generate ``makemigrations --check --dry-run`` with nothing to write       1.03
check    ``check``: its extra time, to importing the migration modules    1.20
         its extra peak memory, to that of importing them                 1.20
         all its time, with a baseline but for the newest 50 migrations   1.05
         all its peak memory, with that baseline                          1.05
rehearse ``rehearse`` of one pending migration, to ``migrate --plan``:
         of one that touches no model to probe, so all but the probes     3.00
         of one that does, with its probes                                none
audit    ``check_migrations --all``, to ``migrate --plan``                1.50
lint     ``check_migrations`` of what is pending, to ``lintmigrations``   1.00
         of django-migration-linter, where that is installed
walk     the stage engine alone, milliseconds per 1,000 migrations        none
======== ================================================================ ======

How it measures:

- A round runs every variant of a command once, each time in another order; ratios are
  taken within a round, so that a machine that gets slower in between slows all of them.
  Shown are the median of the ratios, their quartiles, and the same for the CPU time
  (user + system), which suffers less from other processes.
- The cost of importing the migration modules is measured in the same rounds, as the
  difference of two processes that do nothing else (``imports.py``).
- All variants share the directory, the database, the environment and the interpreter's
  options. Byte code is compiled before the first round and kept in a directory of the
  benchmark's own, or the one that ``BENCH_BYTE_CODE`` names; the first run of each
  variant is thrown away, but its output is checked: a command that finds something to
  complain about measures something else.
- Rounds go on until the standard error of each median is a fifth of the target's
  distance from 1, or the time for the measurement (``--seconds``) is over. In the
  verdict, "?" marks a median less than two standard errors from the target, or on the
  other side of it than that of the CPU time: only more rounds can tell.
- Of more than one size the growth is shown, too: what a migration more costs, between
  one size and the next. Where it stays the same, time grows linearly.
- ``--null`` compares plain Django with plain Django: what it shows is noise. Look
  at it first: on a busy machine that is more than the targets leave room for.

A missed target isn't a failure; a command that fails is one. Needs a system with
``os.wait4``, that is not Windows.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import median, quantiles

HERE = Path(__file__).resolve().parent
IMPORTS = str(HERE / "imports.py")
WALK = str(HERE / "walk.py")
APPS = {500: 20, 2000: 40, 5000: 100}
# Fewer say little; fewer than the second may look clear by luck.
MIN_ROUNDS = 5
CLEAR_ROUNDS = 10
SECONDS = 75.0


Figures = dict[str, float]


@dataclass(frozen=True)
class Command:
    """A variant of what is measured; ``expected`` has to be in its output.

    It may exit with 0, and with 1 where it ``may_find`` something.
    """

    arguments: tuple[str, ...]
    settings: str = "plain"
    database: str = "migrated"
    expected: str = ""
    may_find: bool = False


@dataclass(frozen=True)
class Sample:
    """What one process took: seconds, seconds, and KiB (its peak)."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Comparison:
    """A pair of figures whose ratio ``target`` limits, if there is one.

    ``pair`` makes it of one round's wall times, CPU times or memory by variant.
    """

    title: str
    target: float | None
    pair: Callable[[Figures], tuple[float, float]]
    quantity: str = "wall"


@dataclass(frozen=True)
class Measurement:
    """Commands that take turns, and the comparisons that are made of them."""

    commands: dict[str, Command]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Row:
    """A line of the result. ``base`` and ``app`` are milliseconds or MiB, medians.

    Quartiles and errors are those of the ratios; nothing is compared in ``walk``.
    """

    migrations: int
    title: str
    rounds: int
    base: float | None
    app: float
    ratio: float | None = None
    quartiles: tuple[float, float] | None = None
    error: float | None = None
    cpu_ratio: float | None = None
    cpu_quartiles: tuple[float, float] | None = None
    target: float | None = None
    verdict: str = ""


def with_app(of: Figures) -> tuple[float, float]:
    """The app's figure and plain Django's."""
    return of["app"], of["plain"]


def with_baseline(of: Figures) -> tuple[float, float]:
    """The same with the baseline in the settings."""
    return of["baseline"], of["plain"]


def with_probes(of: Figures) -> tuple[float, float]:
    """A rehearsal that has something to probe, and ``migrate --plan``."""
    return of["probing"], of["plain"]


def extra(of: Figures) -> tuple[float, float]:
    """What the app adds, and what importing the migration modules adds."""
    return of["app"] - of["plain"], of["migrations"] - of["setup"]


def manage(
    *arguments: str,
    app_only: tuple[str, ...] = (),
    database: str = "migrated",
    expected: str,
) -> dict[str, Command]:
    """A management command in plain Django and with the app."""
    plain = ("manage.py", *arguments)
    return {
        "plain": Command(plain, "plain", database, expected),
        "app": Command((*plain, *app_only), "with_syzygy", database, expected),
    }


CLEAN = "System check identified no issues (0 silenced)"
MEASUREMENTS = {
    "help": Measurement(
        manage("help", expected="migrate"), (Comparison("help", 1.01, with_app),)
    ),
    "plan": Measurement(
        manage(
            "migrate",
            "--plan",
            app_only=("--pre-deploy",),
            database="pending",
            expected="Planned operations",
        ),
        (Comparison("migrate --plan --pre-deploy", 1.03, with_app),),
    ),
    "migrate": Measurement(
        manage("migrate", expected="No migrations to apply"),
        (Comparison("migrate, nothing to apply", 1.02, with_app),),
    ),
    "generate": Measurement(
        manage(
            "makemigrations", "--check", "--dry-run", expected="No changes detected"
        ),
        (Comparison("makemigrations --check --dry-run", 1.03, with_app),),
    ),
    "check": Measurement(
        {
            **manage("check", expected=CLEAN),
            "baseline": Command(
                ("manage.py", "check"), "with_baseline", expected=CLEAN
            ),
            "setup": Command((IMPORTS, "setup")),
            "migrations": Command((IMPORTS, "migrations")),
        },
        (
            Comparison("check: extra / imports", 1.2, extra),
            Comparison("check with baseline", 1.05, with_baseline),
            Comparison("check: extra memory / imports", 1.2, extra, "memory"),
            Comparison("check with baseline: memory", 1.05, with_baseline, "memory"),
        ),
    ),
    "rehearse": Measurement(
        {
            "plain": Command(
                ("manage.py", "migrate", "--plan"),
                "proxies",
                expected="Planned operations",
            ),
            "app": Command(
                ("manage.py", "rehearse"),
                "with_syzygy_proxies",
                expected="old and new  0 models, ok",
            ),
            "probing": Command(
                ("manage.py", "rehearse"),
                "with_syzygy",
                database="latest",
                expected="Rehearsal on SQLite",
                may_find=True,
            ),
        },
        (
            Comparison("rehearse but for probes / plan", 3.0, with_app),
            Comparison("rehearse with probes / plan", None, with_probes),
        ),
    ),
    "audit": Measurement(
        {
            "plain": Command(
                ("manage.py", "migrate", "--plan"),
                database="pending",
                expected="Planned operations",
            ),
            "app": Command(
                ("manage.py", "check_migrations", "--all"),
                "with_syzygy",
                expected="in all migrations",
                may_find=True,
            ),
        },
        (Comparison("check_migrations --all / plan", 1.5, with_app),),
    ),
}
# Peers, by the module that has to be there. They take too long for all of a history.
PEERS = {"lint": "django_migration_linter"}
MEASUREMENTS["lint"] = Measurement(
    {
        "plain": Command(
            ("manage.py", "lintmigrations", "--unapplied-migrations", "--no-cache"),
            "with_linter",
            database="pending",
            expected="*** Summary ***",
            may_find=True,
        ),
        "app": Command(
            ("manage.py", "check_migrations"),
            "with_syzygy",
            database="pending",
            expected="in the migrations to apply",
            may_find=True,
        ),
    },
    (Comparison("check_migrations / lintmigrations", 1.0, with_app),),
)


class CommandFailed(Exception):
    """A measured command failed, or said what it isn't expected to say."""


class Project:
    """A synthetic project on disk, whose commands can be measured."""

    def __init__(self, directory: Path, migrations: int) -> None:
        self.directory = directory
        self.migrations = migrations
        self.apps = APPS.get(migrations, max(2, migrations // 50))
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name == "PYTHONPATH"
            or not name.startswith(("PYTHON", "COV_", "COVERAGE_", "DJANGO_"))
        }
        self.environment["PYTHONPYCACHEPREFIX"] = os.environ.get(
            "BENCH_BYTE_CODE", str(directory / "byte-code")
        )
        arguments = [f"--migrations={migrations}", f"--apps={self.apps}"]
        self._prepare(str(HERE / "project.py"), str(directory), *arguments)
        self._prepare("-m", "compileall", "-q", str(directory))

    def _prepare(self, *arguments: str) -> None:
        # In other processes, because the memory of this one counts: see `run`.
        command = [sys.executable, *arguments]
        subprocess.run(command, env=self.environment, check=True)

    def warm_up(self, command: Command) -> None:
        """Run the command; ``CommandFailed`` unless it does what it is to do."""
        _, output = self._run(command, seed=0)
        if command.expected not in output:
            raise CommandFailed(
                f'The output of {_name(command)} has no "{command.expected}":\n{output}'
            )

    def run(self, command: Command, seed: int) -> Sample:
        """Run the command and measure it; ``seed`` orders the hashes of the process."""
        sample, _ = self._run(command, seed)
        return sample

    def _run(self, command: Command, seed: int) -> tuple[Sample, str]:
        environment = self.environment | {
            "BENCH_DATABASE": f"{command.database}.sqlite3",
            "DJANGO_SETTINGS_MODULE": f"config.{command.settings}",
            "PYTHONHASHSEED": str(seed),
        }
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *command.arguments],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        if process.returncode > command.may_find:
            raise CommandFailed(
                f"{_name(command)} exited with {process.returncode}:\n{text}"
            )
        cpu = usage.ru_utime + usage.ru_stime
        return Sample(wall, cpu, usage.ru_maxrss), text

    def walk(self) -> float:
        """Milliseconds that the stage engine takes for 1,000 migrations."""
        _, output = self._run(Command((WALK,), "with_syzygy"), seed=0)
        return float(output)


def _name(command: Command) -> str:
    return f'"{" ".join(command.arguments)}" with config.{command.settings}'


def as_null(measurement: Measurement) -> Measurement:
    """The same measurement of plain Django in the place of the app."""
    plain = measurement.commands["plain"]
    commands = {
        name: replace(
            plain if name in {"app", "probing"} else command,
            settings=(
                plain.settings
                if plain.settings == "proxies" or command is plain
                else "null"
            ),
        )
        for name, command in measurement.commands.items()
    }
    return replace(measurement, commands=commands)


def quartiles_of(values: list[float]) -> list[float]:
    """The quartiles, the median among them; those of one value are that value."""
    return quantiles(values * 2 if len(values) == 1 else values, method="inclusive")


def standard_error(ratios: list[float]) -> float:
    """That of the median, told from the quartiles so that outliers don't matter."""
    low, _, high = quartiles_of(ratios)
    return 1.2533 * (high - low) / 1.349 / sqrt(len(ratios))


def make_row(
    comparison: Comparison, migrations: int, rounds: list[dict[str, Sample]]
) -> Row:
    """What the rounds tell of the comparison."""

    def ratios(quantity: str) -> tuple[float, tuple[float, float], list[float]]:
        values = [app / base for app, base in pairs(quantity)]
        low, middle, high = quartiles_of(values)
        return middle, (low, high), values

    def pairs(quantity: str) -> list[tuple[float, float]]:
        return [
            comparison.pair({k: getattr(each[k], quantity) for k in each})
            for each in rounds
        ]

    is_memory = comparison.quantity == "memory"
    middle, quartiles, values = ratios(comparison.quantity)
    cpu_middle, cpu_quartiles, _ = ratios("cpu")
    error = standard_error(values)
    verdict = ""
    if target := comparison.target:
        is_met = middle <= target
        is_doubtful = abs(middle - target) < 2 * error or (
            not is_memory and is_met != (cpu_middle <= target)
        )
        verdict = ("met" if is_met else "MISSED") + "?" * is_doubtful
    unit = 1 / 1024 if is_memory else 1000
    return Row(
        migrations=migrations,
        title=comparison.title,
        rounds=len(rounds),
        app=unit * median(app for app, _ in pairs(comparison.quantity)),
        base=unit * median(base for _, base in pairs(comparison.quantity)),
        ratio=middle,
        quartiles=quartiles,
        error=error,
        cpu_ratio=None if is_memory else cpu_middle,
        cpu_quartiles=None if is_memory else cpu_quartiles,
        target=comparison.target,
        verdict=verdict,
    )


def measure(
    project: Project, measurement: Measurement, rounds: int | None, seconds: float
) -> list[Row]:
    """Run the commands in turns: ``rounds`` times, or until enough is known."""
    deadline = time.monotonic() + seconds
    for command in measurement.commands.values():
        project.warm_up(command)
    done: list[dict[str, Sample]] = []
    while True:
        order = [*measurement.commands.items()]
        if len(order) > 2:
            random.Random(len(done)).shuffle(order)
        elif len(done) % 2:
            order.reverse()
        done.append({name: project.run(each, len(done)) for name, each in order})
        if len(done) < (rounds or MIN_ROUNDS):
            continue
        rows = [
            make_row(each, project.migrations, done) for each in measurement.comparisons
        ]
        is_known = len(done) >= CLEAR_ROUNDS and all(
            row.error <= (row.target - 1) / 5
            for row in rows
            if row.error is not None and row.target
        )
        if rounds or is_known or time.monotonic() > deadline:
            return rows


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measure what the options ask for, row by row; may raise `CommandFailed`."""
    for migrations in options.sizes:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            project = Project(Path(directory), migrations)
            for name, measurement in MEASUREMENTS.items():
                if options.only not in (None, name):
                    continue
                if name in PEERS and (options.null or not find_spec(PEERS[name])):
                    continue
                yield from measure(
                    project,
                    as_null(measurement) if options.null else measurement,
                    options.rounds,
                    options.seconds,
                )
            if options.only in (None, "walk") and not options.null:
                times = [project.walk() for _ in range(options.rounds or MIN_ROUNDS)]
                yield Row(
                    migrations,
                    "stage engine, ms per 1,000",
                    rounds=len(times),
                    base=None,
                    app=median(times),
                )


COLUMNS = (
    ("size", "6"),
    ("measure", "<33"),
    ("base", "8"),
    ("app", "8"),
    ("ratio", "6"),
    ("quartiles", "12"),
    ("CPU", "6"),
    ("quartiles", "12"),
    ("target", "6"),
    ("rounds", "6"),
    ("verdict", "<7"),
)


def cells(row: Row) -> Iterator[str]:
    """What the columns show of the row."""

    def figure(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    def between(pair: tuple[float, float] | None) -> str:
        return "" if pair is None else f"{pair[0]:.3f}-{pair[1]:.3f}"

    yield f"{row.migrations}"
    yield row.title
    yield figure(row.base, 1)
    yield figure(row.app, 1)
    yield figure(row.ratio, 3)
    yield between(row.quartiles)
    yield figure(row.cpu_ratio, 3)
    yield between(row.cpu_quartiles)
    yield figure(row.target, 2)
    yield f"{row.rounds}"
    yield row.verdict


def growth(rows: Iterable[Row]) -> Iterator[str]:
    """How much longer each command takes for a migration more, a line for each."""
    by_title: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.cpu_ratio is not None:
            by_title.setdefault(row.title, {})[row.migrations] = row.app
    for title, times in by_title.items():
        sizes = sorted(times)
        steps = [
            f"{larger}: {(times[larger] - times[smaller]) / (larger - smaller):.3f} ms"
            for smaller, larger in pairwise(sizes)
        ]
        if steps:
            yield f"{title}, per migration up to {', up to '.join(steps)}"


def write_line(texts: Iterable[str]) -> None:
    """Write a line of the table, at once: the next may take a minute."""
    padded = [
        f"{text:{width if '<' in width else '>' + width}}"
        for text, (_, width) in zip(texts, COLUMNS, strict=True)
    ]
    sys.stdout.write("  ".join(padded).rstrip() + "\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    """The options; see the module."""
    parser = argparse.ArgumentParser(
        description="What the app costs, compared with Django without it."
    )
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[*APPS],
        help="Numbers of migrations; the default is 500,2000,5000.",
    )
    parser.add_argument(
        "--rounds", type=int, help="That many rounds, however clear the result."
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help="Time for a measurement, unless --rounds is given; %(default)s.",
    )
    parser.add_argument(
        "--only", choices=[*MEASUREMENTS, "walk"], help="Measure nothing else."
    )
    parser.add_argument(
        "--null", action="store_true", help="Compare plain Django with itself."
    )
    parser.add_argument("--json", type=Path, help="Write the rows to this file too.")
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds has to be at least 1.")
    return options


def main() -> int:
    """Print the table; 1 if a measured command fails, 2 for wrong options."""
    options = parse()
    rows: list[Row] = []
    write_line(heading for heading, _ in COLUMNS)
    try:
        for row in run(options):
            rows.append(row)
            write_line(cells(row))
    except (CommandFailed, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for line in growth(rows):
        sys.stdout.write(f"{line}\n")
    if options.json:
        document = json.dumps([asdict(row) for row in rows], indent=2)
        options.json.write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
