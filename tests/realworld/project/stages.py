"""Tell the stage of each migration of the installed apps, judged by itself.

A line for each, sorted by name: the stage, in brackets where it may as well be the
other one, and the rules that its operations fall under.
"""

import os
import sys

import django
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from syzygy import conf
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import topological
from syzygy.history import History
from syzygy.requirements import operation_rules
from syzygy.stages import Policy, decide


def stages(*, squashed: bool) -> dict[str, str]:
    """Walk the history once, either with squashed migrations or what they replace."""
    graph = MigrationLoader(None, replace_migrations=squashed).graph
    keys = [
        key
        for key, migration in sorted(graph.nodes.items())
        if squashed or not migration.replaces
    ]

    def needs(key: tuple[str, str]) -> list[tuple[str, str]]:
        return [node.key for node in graph.node_map[key].parents]

    decided, judged = History(conf.is_swapped), History(conf.is_swapped)
    lines = {}
    for key in topological(keys, needs):
        migration = graph.nodes[key]
        stage = stage_of(migration, decided)
        lines[str(migration)] = f"{stage}: {rules_of(migration, judged)}".rstrip(": ")
    return lines


def stage_of(migration: Migration, history: History) -> str:
    try:
        decision = decide(migration, history, Policy())
    except AmbiguousStage:
        return "ambiguous"
    if decision.stage is None:
        return "any"
    label = decision.stage.label
    return label if decision.required else f"({label})"


def rules_of(migration: Migration, history: History) -> str:
    key = migration.app_label, migration.name
    history.origin = history.applying = key
    history.unseen = (key,)
    codes = {}
    for operation in migration.operations:
        for rule in operation_rules(operation, migration.app_label, history):
            if rule.has_effect:
                codes[rule.code] = None
        history.advance(operation, migration.app_label)
    history.forget_origins()
    return ", ".join(codes)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    django.setup()
    found = stages(squashed=False) | stages(squashed=True)
    for name in sorted(found):
        sys.stdout.write(f"{name} {found[name]}\n")
