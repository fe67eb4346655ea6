"""The audit as JSON, for programs. ``docs/reference/audit`` describes each key."""

from __future__ import annotations

import json
from typing import Any

from syzygy.audit.findings import Audit, Finding, Severity, Suppressed
from syzygy.locations import Location

# Of the JSON document; a key that goes or changes its meaning raises it.
VERSION = 1


def render(audit: Audit) -> str:
    """The whole document."""
    return json.dumps(as_data(audit), indent=2)


def as_data(audit: Audit) -> dict[str, Any]:
    """The audit as it is in JSON."""
    return {
        "version": VERSION,
        "scope": audit.scope,
        "vendor": audit.vendor,
        "is_release": audit.is_release,
        "plan": [
            {
                "migration": planned.label,
                "stage": planned.stage.value if planned.stage else None,
                "reason": planned.reason,
                "needs": list(planned.needs),
            }
            for planned in audit.plan
        ],
        "findings": [_finding(finding) for finding in audit.findings],
        "suppressed": [_suppressed(each) for each in audit.suppressed],
        "summary": {severity.value: audit.count(severity) for severity in Severity},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.value,
        "title": finding.title,
        "app_label": finding.app_label,
        "migration": finding.migration or None,
        "stage": finding.stage.value if finding.stage else None,
        "position": finding.position,
        "operation": finding.operation or None,
        **_place(finding.location),
        "what": finding.what,
        "when": finding.when,
        "why": finding.why,
        "remedy": finding.remedy,
        "effect": finding.effect or None,
        "sql": list(finding.sql),
    }


def _suppressed(each: Suppressed) -> dict[str, Any]:
    return {
        "code": each.finding.code,
        "migration": each.finding.label,
        "position": each.finding.position,
        "title": each.finding.title,
        "reason": each.reason,
        **_place(each.location),
    }


def _place(location: Location) -> dict[str, Any]:
    return {"path": location.path or None, "line": location.line or None}
