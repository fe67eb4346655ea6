"""The demo in docs/ deploys, and notices a deployment that breaks requests."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MIGRATIONS = Path("release_2", "library", "migrations")


@pytest.fixture(autouse=True)
def bytecode(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    """Compile Django once for all the tests, where it came without bytecode."""
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(shared / "bytecode"))


@pytest.fixture
def demo(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath / "docs" / "demo"


@pytest.fixture
def copy(demo: Path, tmp_path: Path) -> Path:
    """Return a copy of the demo, to be edited."""
    target = tmp_path / "demo"
    shutil.copytree(demo, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def run(demo: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, demo / "run.py", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )


def edit(demo: Path, migration: str, old: str, new: str) -> None:
    path = demo / MIGRATIONS / f"{migration}.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def declare_pre_deploy(demo: Path, migration: str) -> None:
    opening = "class Migration(migrations.Migration):\n"
    edit(
        demo,
        migration,
        opening,
        f"from syzygy import Stage\n\n{opening}    stage = Stage.PRE_DEPLOY\n",
    )


def steps(output: str) -> list[tuple[str, str, str, str]]:
    """Return step, live releases and what each release did, row by row."""
    cell = r"(-|\d+ ok(?:, \d+ failed)?)"
    row = rf"^ *\d+\.\d s  (\S.*?) {{2,}}(-|\d(?: \+ \d)?) +{cell} +{cell}$"
    return re.findall(row, output, re.MULTILINE)


def test_no_request_fails_in_stages_and_some_do_without(demo: Path) -> None:
    done = run(demo)
    assert done.returncode == 0, done.stdout
    staged, plain = done.stdout.split("Plain Django", 1)

    timeline = steps(staged)
    assert [row[:2] for row in timeline] == [
        ("release 1: migrate", "-"),
        ("release 1: runserver", "1"),
        ("release 2: migrate --pre-deploy", "1"),
        ("old code, intermediate schema", "1"),
        ("release 2: runserver", "1 + 2"),
        ("release 1: stopped", "2"),
        ("release 2: migrate", "2"),
        ("new code, new schema", "2"),
    ]
    for step, live, *served in timeline:
        for release in "12":
            ok = re.fullmatch(r"(\d+) ok", served[int(release) - 1])
            if release in live:
                assert ok, step
                assert int(ok[1]), step
    assert re.search(r"^No request failed, of \d{3,}\.", staged, re.MULTILINE)

    pre, post = re.split("release 2: migrate  ", staged)
    applied = r"Applying library\.(\d+)_\w+\.\.\. OK"
    assert re.findall(applied, pre) == ["0001", "0002", "0003", "0004", "0005", "0006"]
    assert re.findall(applied, post) == ["0007", "0008", "0009", "0010", "0011", "0012"]

    assert re.search(r"^\d+ of \d+ requests failed, for example$", plain, re.MULTILINE)
    assert re.search(r"release 1  \w+ +/\w+/.* 500 OperationalError: ", plain)
    assert "release 2  " not in plain.split("for example")[1]
    assert "Traceback" not in done.stdout


def test_a_column_removed_too_early_is_noticed(copy: Path) -> None:
    declare_pre_deploy(copy, "0007_remove_book_shelf")
    done = run(copy, "--staged")
    assert done.returncode == 1, done.stdout
    assert re.search(r"\d+ of \d+ requests to release 1 failed", done.stdout)
    assert re.search(r"release 1  \w+ +/books/.* 500 .*shelf", done.stdout)
    assert "release 2: runserver" not in done.stdout
    assert "Traceback" not in done.stdout


def test_a_column_without_default_in_the_database_is_noticed(copy: Path) -> None:
    edit(copy, "0002_book_language", 'db_default="en", ', "")
    done = run(copy, "--staged")
    assert done.returncode == 1, done.stdout
    assert re.search(r"release 1  POST +/books/ +500 .*language", done.stdout)


@pytest.mark.parametrize(
    ("migration", "release"), [("0004_reservation", 1), ("0006_detach_review", 2)]
)
def test_a_foreign_key_that_one_release_does_not_know_is_noticed(
    copy: Path, migration: str, release: int
) -> None:
    path = copy / MIGRATIONS / f"{migration}.py"
    path.write_text(path.read_text().replace("db_constraint=False,", ""))
    done = run(copy, "--staged")
    assert done.returncode == 1, done.stdout
    assert re.search(
        rf"release {release}  DELETE +/\w+/<id>/ +500 .*FOREIGN KEY", done.stdout
    )


def test_a_plan_that_is_refused_is_noticed(copy: Path) -> None:
    declare_pre_deploy(copy, "0008_delete_review")
    done = run(copy, "--staged")
    assert done.returncode == 1, done.stdout
    assert "'manage.py migrate --pre-deploy' exited with status 1." in done.stdout
    assert "0007_remove_book_shelf" in done.stdout
    assert "release 2: runserver" not in done.stdout
    assert "Traceback" not in done.stdout


@pytest.fixture
def harmless(copy: Path) -> Path:
    """Return a copy of the demo that keeps the intermediate schema."""
    for path in (copy / MIGRATIONS).glob("*.py"):
        if "0007" <= path.name < "1":
            path.unlink()
    return copy


def test_a_plain_deployment_that_does_not_fail_is_noticed(harmless: Path) -> None:
    done = run(harmless, "--plain")
    assert done.returncode == 1, done.stdout
    assert re.search(r"None of \d+ requests failed", done.stdout)


def test_a_step_that_does_nothing_is_noticed(harmless: Path) -> None:
    done = run(harmless, "--staged")
    assert done.returncode == 1, done.stdout
    assert "'manage.py migrate' applied no migration." in done.stdout


@pytest.fixture
def script(demo: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the demo as a module."""
    spec = importlib.util.spec_from_file_location("demo_script", demo / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demo_script", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def deployment(script: Any, tmp_path: Path) -> Iterator[Any]:
    """Yield a deployment that a test plays the clients of."""
    started = script.Deployment(tmp_path / "staged", "config.settings", forgiving=False)
    with started:
        yield started
        started.live.clear()


def test_a_release_that_is_stopped_between_two_requests_is_no_failure(
    deployment: Any,
) -> None:
    deployment.live[1] = None
    with deployment.step("release 1: stopped", 4):
        del deployment.live[1]


def test_a_command_that_is_done_before_the_next_request_is_no_failure(
    deployment: Any,
) -> None:
    deployment.live[1] = None
    request = threading.Timer(0.1, deployment.ledger.count, [1], {"ok": 1})
    with deployment.step("release 1: migrate", 0):
        request.start()
    request.join()


def test_a_live_release_that_serves_nothing_is_noticed(
    script: Any, deployment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PATIENCE", 0.1)
    deployment.live[1] = None
    with (
        pytest.raises(script.DemoFailed, match=r"^Release 1 got no request during"),
        deployment.step("release 1: migrate", 0),
    ):
        pass


def test_a_command_that_takes_too_long_is_noticed(
    script: Any, deployment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PATIENCE", 0.001)
    with pytest.raises(script.DemoFailed, match=r"^'manage\.py migrate' wasn't done"):
        deployment.migrate(1)
    assert deployment.processes == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_an_interrupted_demo(
    demo: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, demo / "run.py", "--staged"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        shown = ""
        while "release 1: runserver" not in shown:
            line = process.stdout.readline()
            assert line, f"The demo ended before a server ran:\n{shown}"
            shown += line
        [output] = tmp_path.glob("syzygy-demo-*/staged/server_1.txt")
        port = re.search(r"http://127\.0\.0\.1:(\d+)/", output.read_text())
        assert port
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "Interrupted" in rest
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", int(port[1]))) != 0
