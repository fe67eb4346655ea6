"""What ``migrate`` makes of the plan that Django's executor made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.db.migrations.executor import MigrationExecutor

from syzygy.checks import knowing
from syzygy.management.coordination import Coordinator
from syzygy.management.report import PlanReport, StageReport

if TYPE_CHECKING:
    from syzygy.staging import Plan


class Planning:
    """Stages plans as the options of the command want it, and has them agreed upon.

    What is found goes to the ``report``; ``check`` runs the system checks of this app,
    and raises if one of them fails.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        report: StageReport,
        check: Callable[[], None],
        coordinator: Coordinator,
        warn: Callable[[str], None],
    ) -> None:
        self.has_plan = False
        self._options = options
        self._warn = warn
        self._report = report
        self._check = check
        self._coordinator = coordinator
        self._pre_deploy = bool(options.get("pre_deploy"))
        self._explain = bool(options.get("plan"))
        # Left out by whoever calls the command from Python, as Django's checks are.
        self._is_checked = not options.get("skip_checks")
        self._is_pruning = options.get("prune") and not (
            self._explain or options.get("check_unapplied")
        )

    def stage(self, executor: MigrationExecutor, plan: Plan) -> Plan:
        """What of a plan to apply now.

        Raises what :class:`~syzygy.management.stager.PlanStager` and the checks do.
        """
        self.has_plan = True
        if not self._is_pruning:
            plan = self._stage(executor, plan)
        return self._coordinator.agree(executor, plan)

    def _stage(self, executor: MigrationExecutor, plan: Plan) -> Plan:
        if not (self._pre_deploy or self._explain or self._has_to_be_clear(plan)):
            return plan
        # Not imported at the top: most often there is nothing to do.
        from syzygy.management.auditing import heed_audit
        from syzygy.management.stager import PlanStager, check_squashed, soft_applied

        if self._pre_deploy and not any(backward for _, backward in plan):
            check_squashed(executor.loader)
        is_faking = self._options.get("fake_initial") and not self._options.get("fake")
        faked = soft_applied(executor, plan) if is_faking else ()
        stager = PlanStager(executor, plan, faked)
        if self._is_checked and stager.ambiguous:
            # It tells what to do about all of them, unless it is silenced.
            with knowing(stager.ambiguous, executor.connection.alias):
                self._check()
        if self._pre_deploy:
            steps = stager.stage()
            self._report.plans[executor.connection.alias] = PlanReport(steps)
            heed_audit(stager, executor.connection, self._options, self._warn)
            return [
                (step.migration, step.backward)
                for step in steps
                if not step.is_postponed
            ]
        if self._explain:
            self._report.plans[executor.connection.alias] = PlanReport(
                plan=plan, decisions=stager.decisions
            )
        return plan

    def _has_to_be_clear(self, plan: Plan) -> bool:
        """Whether a plan that is applied as a whole may have no ambiguous migration.

        One that goes backward may: nobody waits for a stage to undo what is broken.
        """
        is_forward = bool(plan) and not any(backward for _, backward in plan)
        return self._is_checked and is_forward
