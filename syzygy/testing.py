"""For the tests of projects: assert that a deployment survives its migrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from django.db import DEFAULT_DB_ALIAS

from syzygy.rehearsal.findings import Rehearsal, Severity
from syzygy.rehearsal.run import Options, rehearse


def assert_deployment_survives(  # noqa: PLR0913 - they are the command's options
    *,
    database: str = DEFAULT_DB_ALIAS,
    since: str | None = None,
    start: Sequence[str] = (),
    replay: bool = False,
    revert: bool = False,
    all_models: bool = False,
    fail_level: Literal["breaks", "hazard"] = "breaks",
) -> Rehearsal:
    """Rehearse a deployment, and return what came of it.

    The database of a test has all migrations, so the deployment starts from those that
    are there at the git ref ``since``, or from the ``start`` targets, such as
    ``["blog.0042"]``. The other arguments are the options of ``rehearse``.

    Raises :class:`ValueError` without either of them: nothing would be rehearsed.
    Raises :class:`AssertionError`, whose message is the report, if anything is found
    that is as bad as ``fail_level``. What keeps the deployment from being rehearsed,
    such as a git ref that there is not, raises another exception, with a message for
    people.
    """
    if since is None and not start:
        raise ValueError(
            "A rehearsal needs to know which migrations are deployed: pass "
            'since="origin/main", or start=["app_label.migration_name"].'
        )
    rehearsal = rehearse(
        Options(
            alias=database,
            since=since,
            targets=start,
            replay=replay,
            revert=revert,
            all_models=all_models,
        )
    )
    if rehearsal.fails(Severity(fail_level)):
        from syzygy.management.rehearsal_report import as_text

        raise AssertionError(as_text(rehearsal))
    return rehearsal
