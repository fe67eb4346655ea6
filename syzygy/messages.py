"""What people are told when nothing can be decided, with ways out ready to paste."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from syzygy.constants import Stage

if TYPE_CHECKING:
    from django.db.migrations import Migration

    from syzygy.staging import Step

OVERRIDE = "MIGRATION_STAGES_OVERRIDE"
BASELINE = "MIGRATION_STAGES_BASELINE"


def stage_remedy(migration: Migration, override: Collection[str]) -> str:
    """How to settle the stage of a migration, given the overrides there are."""
    setting = override_line({str(migration): Stage.PRE_DEPLOY}, override)
    return (
        "Split it into one migration per stage. Or, if the running release doesn't use "
        "what it changes, say when it runs, in the migration:\n"
        "    from syzygy import Stage\n"
        "    stage = Stage.PRE_DEPLOY  # or Stage.POST_DEPLOY\n"
        "or in the settings:\n"
        f"    {setting}"
    )


def override_line(stages: Mapping[str, Stage], override: Collection[str]) -> str:
    """The line of the settings that adds these stages to the overrides there are."""
    entries = {name: stage.value for name, stage in stages.items()}
    return f"{OVERRIDE} {'|=' if override else '='} {json.dumps(entries)}"


def baseline_line(baseline: Mapping[str, str]) -> str:
    """The line of the settings that declares the history up to these deployed."""
    return f"{BASELINE} = {json.dumps(dict(sorted(baseline.items())))}"


def plan_conflict(paths: Sequence[Sequence[Step]], existing: Collection[str]) -> str:
    """Why a plan can't be split, and the ways out.

    Each path leads from a migration that has to wait until after the rollout to one
    that can't, over those by which the second needs the first.
    """
    post, *between, pre = paths[0]
    verb = "be undone" if post.backward else "run"
    through = "".join(f', through "{step.migration}"' for step in between)
    conflict = (
        f'Migration "{pre.migration}" has to {verb} before the rollout '
        f'({pre.decision}), but it needs "{post.migration}" to {verb} first{through}, '
        f"which has to wait until after the rollout ({post.decision})."
    )
    likewise = [
        f'Likewise "{path[-1].migration}" needs "{path[0].migration}".'
        for path in paths[1:]
    ]
    stage = Stage.POST_DEPLOY if post.backward else Stage.PRE_DEPLOY
    stages = {str(path[0].migration): stage for path in paths}
    override = (
        "If no running release uses what has to wait, it needn't; put into the "
        f"settings:\n    {override_line(stages, existing)}"
    )
    way = _roll_back_first(post) if post.backward else _apply_first(post)
    return "\n".join([conflict, *likewise, way, override])


def _apply_first(post: Step) -> str:
    app_label, name = post.key
    return (
        "If the release that it came with is rolled out everywhere by now, its "
        "post-deploy migrations are overdue; apply them first:\n"
        f"    python manage.py migrate {app_label} {name}\n"
        "If not, deploy the release that it came with before this one."
    )


def _roll_back_first(post: Step) -> str:
    return (
        "Roll back in two deployments, the first of them up to here:\n"
        f"    python manage.py migrate {_before(post.migration)}"
    )


def _before(migration: Migration) -> str:
    """The arguments of ``migrate`` that undo a migration and what depends on it."""
    for app_label, name in migration.dependencies:
        if app_label == migration.app_label and not name.startswith("__"):
            return f"{app_label} {name}"
    return f"{migration.app_label} zero"
