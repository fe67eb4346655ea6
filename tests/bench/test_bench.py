from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.bench.run import Row, growth

BENCH = Path(__file__).parent
LINTER = "django_migration_linter"
SIZE = ("--migrations=60", "--apps=3", "--pending=8", "--newest=20")


@pytest.fixture(autouse=True)
def bytecode(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    """Compile Django once for all the benchmarks."""
    monkeypatch.setenv("BENCH_BYTE_CODE", str(shared / "bytecode"))


def write_project(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCH / "project.py", directory, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bench") / "project"
    result = write_project(directory, *SIZE)
    assert result.returncode == 0, result.stderr
    return directory


def manage(
    project: Path,
    *arguments: str,
    settings: str = "plain",
    database: Path | None = None,
) -> str:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": f"config.{settings}"}
    if database is not None:
        environment["BENCH_DATABASE"] = str(database)
    result = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def names(project: Path) -> list[str]:
    modules = (project / "migrations.txt").read_text().split()
    return [module.replace(".migrations", "") for module in modules]


def applied(output: str) -> set[str]:
    return set(re.findall(r"Applying (app\S+)\.\.\. OK", output))


def test_models_and_migrations_agree(project: Path) -> None:
    assert len(names(project)) == 60
    output = manage(project, "makemigrations", "--check", "--dry-run")
    assert output.strip() == "No changes detected"


def test_same_project_each_time(project: Path, tmp_path: Path) -> None:
    assert write_project(tmp_path / "again", *SIZE).returncode == 0
    for file in project.rglob("app*/**/*.py"):
        again = tmp_path / "again" / file.relative_to(project)
        assert again.read_text() == file.read_text()


def test_migrates_from_scratch(project: Path, tmp_path: Path) -> None:
    output = manage(project, "migrate", database=tmp_path / "new.sqlite3")
    assert applied(output) == {*names(project)}


def test_migrated_database_is_up_to_date(project: Path) -> None:
    assert "No migrations to apply" in manage(project, "migrate")


def test_pending_migrations_have_both_stages(project: Path, tmp_path: Path) -> None:
    database = tmp_path / "pending.sqlite3"
    shutil.copy(project / "pending.sqlite3", database)

    def migrate(*arguments: str) -> set[str]:
        output = manage(
            project, "migrate", *arguments, settings="with_syzygy", database=database
        )
        return applied(output)

    before = migrate("--pre-deploy")
    after = migrate()
    newest = names(project)[-8:]
    assert before == {*newest[:4]}
    assert after == {*newest[4:]}


@pytest.mark.parametrize("settings", ["with_syzygy", "with_baseline"])
def test_checks_find_nothing(project: Path, settings: str) -> None:
    assert "no issues (0 silenced)" in manage(project, "check", settings=settings)


def test_refuses_too_many_pending_migrations(tmp_path: Path) -> None:
    result = write_project(tmp_path / "project", "--migrations=60", "--apps=10")
    assert result.returncode == 2
    assert "10 of 60 migrations over 10 apps can't be pending" in result.stderr
    assert not (tmp_path / "project").exists()


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCH / "run.py", "--sizes=60", "--rounds=1", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_benchmark_measures_everything(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    result = bench(f"--json={file}")
    assert result.returncode == 0, result.stderr
    titles = [
        "help",
        "migrate --plan --pre-deploy",
        "migrate, nothing to apply",
        "makemigrations --check --dry-run",
        "check: extra / imports",
        "check with baseline",
        "check: extra memory / imports",
        "check with baseline: memory",
        "rehearse but for probes / plan",
        "rehearse with probes / plan",
        "check_migrations --all / plan",
        *["check_migrations / lintmigrations"] * bool(find_spec(LINTER)),
        "stage engine, ms per 1,000",
    ]
    rows = json.loads(file.read_text())
    assert [row["title"] for row in rows] == titles
    assert all(row["migrations"] == 60 and row["rounds"] == 1 for row in rows)
    lines = result.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["60"] * len(titles)
    assert all(title in line for title, line in zip(titles, lines, strict=True))


def test_growth() -> None:
    def row(migrations: int, app: float, title: str = "audit") -> Row:
        return Row(migrations, title, rounds=1, base=1.0, app=app, cpu_ratio=1.0)

    rows = [row(500, 100.0), row(2000, 400.0), row(5000, 1300.0), row(500, 1.0, "x")]
    memory = replace(row(2000, 7.0, "x"), cpu_ratio=None)
    assert list(growth([*rows, memory])) == [
        "audit, per migration up to 2000: 0.200 ms, up to 5000: 0.300 ms"
    ]


BROKEN = "raise ImportError('broken app')"
COMPLAINING = """
from django.core import checks


@checks.register
def complain(app_configs, **kwargs):
    return [checks.Warning("a finding")]
"""


@pytest.mark.parametrize(
    ("app", "name", "told"),
    [
        (BROKEN, "help", ["exited with 1", "broken app"]),
        (COMPLAINING, "check", ['has no "System check', "a finding"]),
    ],
)
def test_benchmark_stops_at_a_command_that_fails(
    tmp_path: Path, app: str, name: str, told: list[str]
) -> None:
    (tmp_path / "syzygy").mkdir()
    (tmp_path / "syzygy" / "__init__.py").write_text(app)
    result = bench(f"--only={name}", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    for text in [f'"manage.py {name}" with config.with_syzygy', *told]:
        assert text in result.stderr


def test_null_comparison_leaves_the_app_out(tmp_path: Path) -> None:
    (tmp_path / "syzygy").mkdir()
    (tmp_path / "syzygy" / "__init__.py").write_text(BROKEN)
    result = bench("--null", "--only=plan", PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "migrate --plan --pre-deploy" in result.stdout


def test_quorum() -> None:
    result = subprocess.run(
        [
            *(sys.executable, BENCH / "quorum.py", "--parties=2", "--rounds=1"),
            *("--within=0", "--wait=1"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"at the 95th percentile +[\d.-]+ +target 0\.6", result.stdout)
    assert re.search(r"in the first minute +[\d.]+ +target 5\.0", result.stdout)


def test_elections() -> None:
    result = subprocess.run(
        [
            *(sys.executable, BENCH / "elections.py", "--parties=3", "--rounds=2"),
            "--store=database",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "database, 3 parties, 2 rounds: one leader in each\n"
