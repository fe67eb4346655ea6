"""Write a synthetic Django project with a long migration history.

``python tests/bench/project.py DIRECTORY --migrations 500 --apps 20`` leaves there:

- ``app000`` ...: models with fields, indexes, constraints and foreign keys within the
  app and to other apps; their migrations, much as ``makemigrations`` would have written
  them over the years;
- ``config``: settings that are the same but for the ``INSTALLED_APPS`` (``plain``,
  ``null`` which is the same again, ``with_syzygy``, ``with_linter`` which has
  django-migration-linter) and ``MIGRATION_STAGES_BASELINE`` (``with_baseline``);
- ``proxies``: an app with one migration, which makes a proxy of another app's model, so
  that no table changes; it is in the settings ``proxies`` and ``with_syzygy_proxies``;
- ``migrated.sqlite3``, on which everything is applied, and ``pending.sqlite3``, on
  which the newest migrations aren't, pre-deploy ones and then post-deploy ones;
- ``latest.sqlite3``, for commands that read no more of a database than what is applied:
  all but the newest migration;
- ``migrations.txt``: the project's migration modules, oldest first.

Models and migrations come from one simulated history, the same for the same arguments.
Each migration has one operation, and none that can't be staged.

The databases aren't made by applying thousands of migrations. ``migrate --run-syncdb``
creates the tables for a copy of the project that has the models of that point of the
history and no migrations; then the migrations up to there are recorded as applied.
"""

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.plain")
    execute_from_command_line(sys.argv)
"""
BASE_SETTINGS = """\
import os
from pathlib import Path

SECRET_KEY = "benchmark"
USE_TZ = True
ROOT_URLCONF = "config.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASE = os.environ.get("BENCH_DATABASE", "migrated.sqlite3")
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).parent.parent / DATABASE,
    }}
}}
PROJECT_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
{apps}
]
"""
SETTINGS = """\
from config.base import *

INSTALLED_APPS = [{extra}*PROJECT_APPS]
"""
PROXY_MODEL = """\
from {label}.models import {model}


class Proxy({model}):
    class Meta:
        proxy = True
"""
PROXY_MIGRATION = """\
from django.db import migrations


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ({label!r}, {latest!r}),
    ]

    operations = [
        migrations.CreateModel(
            name='Proxy',
            fields=[],
            options={{'proxy': True, 'indexes': [], 'constraints': []}},
            bases=({base!r},),
        ),
    ]
"""

KEY = (
    "models.BigAutoField(auto_created=True, primary_key=True, serialize=False, "
    "verbose_name='ID')"
)
NOUNS = ("title", "note", "code", "rank", "state", "label", "amount", "source", "owner")
ADJECTIVES = ("old", "main", "short", "public", "internal", "first", "last", "total")
CHOICES = ("draft", "review", "published", "archived", "deleted", "spam", "hidden")
NEW_FIELDS = {
    "CharField": {"max_length": "50"},
    "DateField": {},
    "DateTimeField": {},
    "DecimalField": {"decimal_places": "2", "max_digits": "12"},
    "IntegerField": {},
    "JSONField": {},
    "TextField": {},
    "URLField": {"max_length": "200"},
}
DEFAULTS = {
    "BooleanField": {"default": "False"},
    "CharField": {"blank": "True", "default": "''", "max_length": "40"},
    "DecimalField": {"decimal_places": "2", "default": "0", "max_digits": "9"},
    "JSONField": {"default": "dict"},
    "PositiveIntegerField": {"default": "0"},
    "UUIDField": {"default": "uuid.uuid4"},
}
DB_DEFAULTS = {
    "CharField": {"db_default": "'new'", "max_length": "20"},
    "IntegerField": {"db_default": "0"},
}
# How often each kind of migration is tried, roughly as real projects have them.
WEIGHTS = {
    "create_model": 9,
    "add_nullable_field": 16,
    "add_field_with_default": 12,
    "add_field_with_db_default": 3,
    "add_foreign_key": 6,
    "lengthen_field": 9,
    "allow_null": 5,
    "forbid_null": 4,
    "describe_field": 9,
    "alter_options": 7,
    "add_index": 8,
    "remove_index": 2,
    "add_constraint": 5,
    "remove_constraint": 2,
    "remove_field": 6,
    "run_python": 6,
}
# The pending migrations are these in turn, first of the one kind, then of the other.
PRE_DEPLOY = ("add_nullable_field", "run_python", "alter_options", "add_index")
POST_DEPLOY = ("add_constraint", "remove_field", "forbid_null")


@dataclass
class Field:
    """A field; ``options`` are its keyword arguments as source text.

    ``turn`` is the number of the migration that created it; ``in_use`` tells that an
    index or a constraint is on it.
    """

    name: str
    type: str
    options: dict[str, str]
    turn: int
    in_use: bool = False

    @property
    def source(self) -> str:
        """The call that makes the field, in models and in migrations."""
        arguments = ", ".join(f"{k}={v}" for k, v in sorted(self.options.items()))
        return f"models.{self.type}({arguments})"


@dataclass
class Model:
    """A model; options, indexes and constraints are source text by their names."""

    name: str
    turn: int
    fields: list[Field]
    created_by: tuple[str, str] = ("", "")
    options: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    constraints: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The class as it stands in ``models.py``."""
        meta = dict(self.options)
        for name in ("indexes", "constraints"):
            if sources := getattr(self, name):
                meta[name] = f"[{', '.join(sources.values())}]"
        lines = [f"class {self.name}(models.Model):"]
        lines += [f"    {each.name} = {each.source}" for each in self.fields]
        if meta:
            lines += ["", "    class Meta:"]
            lines += [f"        {name} = {value}" for name, value in meta.items()]
        lines += ["", "    def __str__(self):", "        return str(self.pk)"]
        return "\n".join(lines)


@dataclass
class App:
    """An app as it stands at some point of the history."""

    label: str
    models: list[Model] = field(default_factory=list)
    migrations: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """Its ``models.py``."""
        models = "\n\n\n".join(model.source for model in self.models)
        return f"import uuid\n\nfrom django.db import models\n\n\n{models}\n"


@dataclass
class Draft:
    """A migration before it has a name: what it does, what it needs to exist."""

    operation: str
    slug: str
    needs: list[Model] = field(default_factory=list)
    preamble: str = ""


class History:
    """The simulated history: ``migrations`` over ``apps``, the newest ``pending``.

    The pending migrations touch nothing that one of them creates, and the pre-deploy
    ones come first, so that none of these needs a post-deploy one.

    ``ValueError`` if the pending migrations could be all that an app has.
    """

    def __init__(self, migrations: int, apps: int, pending: int, seed: int = 0) -> None:
        if not 1 < pending < migrations // apps:
            raise ValueError(
                f"{pending} of {migrations} migrations over {apps} apps can't be "
                f"pending: give at least 2 and less than one app's migrations."
            )
        self.apps = [App(f"app{number:03}") for number in range(apps)]
        self.order: list[tuple[str, str]] = []
        self.files: dict[str, str] = {}
        self._random = random.Random(seed)
        self._numbers = count(1)
        self._settled = migrations - pending
        turns = [self.apps[number % apps] for number in range(migrations)]
        self._random.shuffle(turns)
        for app in turns[: self._settled]:
            self._take_turn(app, WEIGHTS)
        self.models_before_pending = self.models()
        post_deploy = pending // 2
        for number, app in enumerate(
            turns[self._settled :], start=post_deploy - pending
        ):
            kinds = PRE_DEPLOY if number < 0 else POST_DEPLOY
            self._take_turn(app, {kinds[number % len(kinds)]: 9, kinds[0]: 1})

    def models(self) -> dict[str, str]:
        """Each ``models.py`` by its path, as of now."""
        return {f"{app.label}/models.py": app.source for app in self.apps}

    def baseline(self, newest: int) -> dict[str, str]:
        """The last migration of each app, not counting the ``newest`` of them all."""
        return dict(self.order[:-newest])

    # One migration

    def _take_turn(self, app: App, weights: dict[str, int]) -> None:
        draft = None
        while draft is None:
            [kind] = self._random.choices([*weights], [*weights.values()])
            if not app.models:
                kind = "create_model"
            write: Callable[[App], Draft | None] = getattr(self, f"_{kind}")
            draft = write(app)
        number = len(app.migrations) + 1
        name = f"{number:04}_{draft.slug}" if app.migrations else "0001_initial"
        needs = {model.created_by for model in draft.needs}
        needs = {need for need in needs if need[0] != app.label}
        if app.migrations:
            needs.add((app.label, app.migrations[-1]))
        if kind == "create_model":
            app.models[-1].created_by = (app.label, name)
        app.migrations.append(name)
        self.order.append((app.label, name))
        self.files[f"{app.label}/migrations/{name}.py"] = (
            "# Generated by Django 5.2 on 2026-01-01 12:00\n\n"
            + ("import uuid\n\n" if "uuid." in draft.operation else "")
            + "from django.db import migrations, models\n\n\n"
            + draft.preamble
            + "class Migration(migrations.Migration):\n\n"
            + ("" if len(app.migrations) > 1 else "    initial = True\n\n")
            + "    dependencies = [\n"
            + "".join(f"        {need!r},\n" for need in sorted(needs))
            + "    ]\n\n    operations = [\n"
            + f"{draft.operation}    ]\n"
        )

    def _pick_model(self, app: App) -> Model:
        return self._random.choice([m for m in app.models if m.turn < self._settled])

    def _pick_field(
        self, model: Model, accept: Callable[[Field], bool]
    ) -> Field | None:
        """A field of the model, but a foreign key, of which ``accept`` is true."""
        fields = [
            each
            for each in model.fields
            if each.type != "ForeignKey" and each.turn < self._settled and accept(each)
        ]
        return self._random.choice(fields) if fields else None

    def _new_field(self, types: dict[str, dict[str, str]], **options: str) -> Field:
        kind = self._random.choice([*types])
        name = f"{self._random.choice(ADJECTIVES)}_{self._random.choice(NOUNS)}"
        return Field(
            f"{name}_{next(self._numbers)}",
            kind,
            {**types[kind], **options},
            len(self.order),
        )

    def _new_foreign_key(self, target: Model, **options: str) -> Field:
        label, _ = target.created_by
        options = {"on_delete": "models.CASCADE", "related_name": "'+'", **options}
        options["to"] = repr(f"{label}.{target.name.lower()}")
        return self._new_field({"ForeignKey": options})

    def _pick_target(self, app: App) -> Model | None:
        """A model of the app, or the first one of another app."""
        others = [a.models[0] for a in self.apps if a.models and a is not app]
        targets = self._random.sample(others, min(len(others), 2)) + app.models
        return self._random.choice(targets) if targets else None

    # The kinds of migrations; None where the model that was picked has no use for it

    def _create_model(self, app: App) -> Draft | None:
        if len(app.models) == 8:
            return None
        fields = [
            self._new_field(NEW_FIELDS) for _ in range(self._random.randint(2, 5))
        ]
        fields += [self._new_field(DEFAULTS) for _ in range(self._random.randint(1, 3))]
        needs = []
        for _ in range(self._random.randint(0, 2)):
            if target := self._pick_target(app):
                fields.append(self._new_foreign_key(target))
                needs.append(target)
        name = f"{self._random.choice(NOUNS)}{next(self._numbers)}"
        app.models.append(Model(name.title(), len(self.order), fields))
        columns = [("id", KEY), *((each.name, each.source) for each in fields)]
        lines = "".join(f"                ({n!r}, {s}),\n" for n, s in columns)
        return Draft(
            "        migrations.CreateModel(\n"
            f"            name={name.title()!r},\n"
            f"            fields=[\n{lines}            ],\n"
            "        ),\n",
            name,
            needs,
        )

    def _add_nullable_field(self, app: App) -> Draft:
        options = {"blank": "True", "null": "True"}
        return self._add(self._pick_model(app), self._new_field(NEW_FIELDS, **options))

    def _add_field_with_default(self, app: App) -> Draft:
        return self._add(self._pick_model(app), self._new_field(DEFAULTS))

    def _add_field_with_db_default(self, app: App) -> Draft:
        return self._add(self._pick_model(app), self._new_field(DB_DEFAULTS))

    def _add_foreign_key(self, app: App) -> Draft | None:
        target = self._pick_target(app)
        if target is None:
            return None
        new = self._new_foreign_key(target, blank="True", null="True")
        return self._add(self._pick_model(app), new, target)

    def _lengthen_field(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        old = self._pick_field(model, lambda each: "max_length" in each.options)
        if old is None:
            return None
        length = int(old.options["max_length"]) + 10
        return self._alter(model, old, max_length=str(length))

    def _allow_null(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        old = self._pick_field(model, lambda each: "null" not in each.options)
        return None if old is None else self._alter(model, old, null="True")

    def _forbid_null(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        old = self._pick_field(model, lambda each: "null" in each.options)
        if old is None:
            return None
        del old.options["null"]
        return self._alter(model, old)

    def _describe_field(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        old = self._pick_field(model, lambda each: True)
        if old is None:
            return None
        if old.type != "CharField":
            return self._alter(model, old, help_text=f"'Help {next(self._numbers)}'")
        names = self._random.sample(CHOICES, 3)
        return self._alter(
            model, old, choices=repr([(name, name.title()) for name in names])
        )

    def _alter_options(self, app: App) -> Draft:
        model = self._pick_model(app)
        model.options = {
            "ordering": self._random.choice(["['pk']", "['-pk']"]),
            "verbose_name": f"'the {model.name.lower()} {next(self._numbers)}'",
        }
        options = ", ".join(f"{k!r}: {v}" for k, v in model.options.items())
        return self._change_model(
            "AlterModelOptions", "options", model, f"options={{{options}}}", by="name"
        )

    def _add_index(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        on = self._pick_field(model, lambda e: e.type not in ("JSONField", "TextField"))
        if on is None:
            return None
        on.in_use = True
        name = f"{app.label}_ix_{next(self._numbers)}"
        source = f"models.Index(fields=[{on.name!r}], name={name!r})"
        model.indexes[name] = source
        return self._change_model("AddIndex", name, model, f"index={source}")

    def _remove_index(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        if not model.indexes:
            return None
        name, _ = model.indexes.popitem()
        return self._change_model("RemoveIndex", f"no_{name}", model, f"name={name!r}")

    def _add_constraint(self, app: App) -> Draft:
        model = self._pick_model(app)
        name = f"{app.label}_ck_{next(self._numbers)}"
        on = self._pick_field(model, lambda each: each.type == "CharField")
        if on is None:
            condition = "models.Q(('id__gte', 0))"
            source = f"models.CheckConstraint(condition={condition}, name={name!r})"
        else:
            on.in_use = True
            columns = ["id", on.name]
            source = f"models.UniqueConstraint(fields={columns!r}, name={name!r})"
        model.constraints[name] = source
        return self._change_model("AddConstraint", name, model, f"constraint={source}")

    def _remove_constraint(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        if not model.constraints:
            return None
        name, _ = model.constraints.popitem()
        return self._change_model(
            "RemoveConstraint", f"no_{name}", model, f"name={name!r}"
        )

    def _remove_field(self, app: App) -> Draft | None:
        model = self._pick_model(app)
        old = self._pick_field(model, lambda each: not each.in_use)
        if old is None or len(model.fields) < 4:
            return None
        model.fields.remove(old)
        return self._change_model(
            "RemoveField", f"remove_{old.name}", model, f"name={old.name!r}"
        )

    def _run_python(self, app: App) -> Draft:
        model = self._pick_model(app)
        others = [a.models[0] for a in self.apps if a.models and a is not app]
        return Draft(
            "        migrations.RunPython(forwards, migrations.RunPython.noop),\n",
            f"mend_{model.name.lower()}",
            self._random.sample(others, min(len(others), 1)),
            "def forwards(apps, schema_editor):\n"
            f"    model = apps.get_model({app.label!r}, {model.name!r})\n"
            "    model.objects.filter(pk=0).delete()\n\n\n",
        )

    def _add(self, model: Model, new: Field, *needs: Model) -> Draft:
        model.fields.append(new)
        draft = self._change_field("AddField", model, new)
        draft.needs.extend(needs)
        return draft

    def _alter(self, model: Model, old: Field, **options: str) -> Draft:
        old.options.update(options)
        return self._change_field("AlterField", model, old)

    def _change_field(self, operation: str, model: Model, changed: Field) -> Draft:
        return self._change_model(
            operation,
            f"{model.name.lower()}_{changed.name}",
            model,
            f"name={changed.name!r}",
            f"field={changed.source}",
        )

    @staticmethod
    def _change_model(
        operation: str, slug: str, model: Model, *arguments: str, by: str = "model_name"
    ) -> Draft:
        lines = [f"{by}={model.name.lower()!r}", *arguments]
        return Draft(
            f"        migrations.{operation}(\n"
            + "".join(f"            {line},\n" for line in lines)
            + "        ),\n",
            slug,
        )


def write_project(
    directory: Path, migrations: int, apps: int, pending: int, newest: int
) -> None:
    """Write the project that the module describes into ``directory``, which is empty.

    The baseline of ``config.with_baseline`` leaves out the ``newest`` migrations.
    Failures are :class:`subprocess.CalledProcessError` and :class:`ValueError`.
    """
    history = History(migrations, apps, pending)
    with_syzygy = SETTINGS.format(extra='"syzygy", ')
    baseline = history.baseline(newest)
    _write(directory, _common_files(history))
    _write(directory, history.models())
    _write(directory, history.files)
    _write(
        directory,
        {
            **{f"{app.label}/migrations/__init__.py": "" for app in history.apps},
            "config/null.py": SETTINGS.format(extra=""),
            "config/with_syzygy.py": with_syzygy,
            "config/with_linter.py": SETTINGS.format(
                extra='"django_migration_linter", '
            ),
            "config/with_baseline.py": (
                f"{with_syzygy}MIGRATION_STAGES_BASELINE = {baseline!r}\n"
            ),
            "migrations.txt": "".join(
                f"{label}.migrations.{name}\n" for label, name in history.order
            ),
        },
    )
    _write(directory, _proxies(history.apps[0]))
    _make_database(directory / "migrated.sqlite3", history, history.models(), 0)
    _make_database(
        directory / "pending.sqlite3", history, history.models_before_pending, pending
    )
    shutil.copy(directory / "pending.sqlite3", directory / "latest.sqlite3")
    _record(directory / "latest.sqlite3", history.order[-pending:-1])


def _proxies(app: App) -> dict[str, str]:
    """An app whose migration touches no model that has a table of its own."""
    model = app.models[0].name
    told = {"label": app.label, "latest": app.migrations[-1], "model": model}
    base = f"{app.label}.{model.lower()}"
    return {
        "proxies/__init__.py": "",
        "proxies/models.py": PROXY_MODEL.format(**told),
        "proxies/migrations/__init__.py": "",
        "proxies/migrations/0001_initial.py": PROXY_MIGRATION.format(base=base, **told),
        "config/proxies.py": SETTINGS.format(extra='"proxies", '),
        "config/with_syzygy_proxies.py": SETTINGS.format(extra='"syzygy", "proxies", '),
    }


def _common_files(history: History) -> dict[str, str]:
    labels = "\n".join(f'    "{app.label}",' for app in history.apps)
    return {
        **{f"{app.label}/__init__.py": "" for app in history.apps},
        "config/__init__.py": "",
        "config/base.py": BASE_SETTINGS.format(apps=labels),
        "config/plain.py": SETTINGS.format(extra=""),
        "config/urls.py": "urlpatterns = []\n",
        "manage.py": MANAGE,
    }


def _write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _make_database(
    database: Path, history: History, models: dict[str, str], pending: int
) -> None:
    scratch = database.with_suffix(".tables")
    _write(scratch, {**_common_files(history), **models})
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity=0"],
        cwd=scratch,
        env=os.environ
        | {"BENCH_DATABASE": str(database), "DJANGO_SETTINGS_MODULE": "config.plain"},
        check=True,
    )
    shutil.rmtree(scratch)
    _record(database, history.order[: len(history.order) - pending])


def _record(database: Path, applied: list[tuple[str, str]]) -> None:
    """Have migrations count as applied."""
    connection = sqlite3.connect(database)
    with connection:
        connection.executemany(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES (?, ?, '2026-01-01 12:00:00')",
            applied,
        )
    connection.close()


def main() -> None:
    """Write the project that the options ask for; exit with 2 if it can't be."""
    parser = argparse.ArgumentParser(description="Write a synthetic Django project.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--migrations", type=int, default=500)
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--pending", type=int, default=10)
    parser.add_argument("--newest", type=int, default=50)
    options = parser.parse_args()
    try:
        write_project(**vars(options))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
