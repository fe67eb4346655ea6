"""SARIF 2.1.0, which code scanning reads: that of GitHub, and editors."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from syzygy.audit.catalogue import all_rules, page_of
from syzygy.audit.explain import as_text
from syzygy.audit.findings import Audit, Finding, Severity, Suppressed
from syzygy.audit.formats.common import fingerprints, place, plain
from syzygy.hosting import hosted_path
from syzygy.locations import Location

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
    "sarif-schema-2.1.0.json"
)
_LEVELS = {Severity.BREAKING: "error", Severity.WARNING: "warning"}


def render(audit: Audit) -> str:
    """A log of one run, in which suppressed findings are results that don't count."""
    findings = [*audit.findings, *(item.finding for item in audit.suppressed)]
    codes = sorted({finding.code for finding in findings})
    driver: dict[str, Any] = {
        "name": "Syzygy",
        "rules": [_rule(code, findings) for code in codes],
    }
    with suppress(PackageNotFoundError):  # Of sources that nobody installed.
        driver["version"] = version("django-syzygy")
    results = []
    for finding, fingerprint in fingerprints(findings):
        result = _result(finding, codes.index(finding.code), fingerprint)
        results.append(result)
    found = len(audit.findings)
    for result, item in zip(results[found:], audit.suppressed, strict=True):
        result["suppressions"] = [_suppression(item)]
    run = {
        "tool": {"driver": driver},
        "results": results,
        "properties": {"scope": audit.scope, "engine": audit.vendor},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: str, findings: list[Finding]) -> dict[str, Any]:
    known = all_rules().get(code)
    if known is None:  # One of the project's own.
        finding = next(finding for finding in findings if finding.code == code)
        return {
            "id": code,
            "name": finding.name,
            "shortDescription": {"text": finding.name},
            "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        }
    return {
        "id": code,
        "name": known.name,
        "shortDescription": {"text": known.summary},
        "fullDescription": {"text": known.summary},
        "help": {"text": as_text(page_of(known)) or known.summary},
        "defaultConfiguration": {"level": _LEVELS[known.severity]},
    }


def _result(finding: Finding, index: int, fingerprint: str) -> dict[str, Any]:
    properties = {
        "severity": finding.severity.value,
        "stage": finding.stage.value if finding.stage else None,
        "operation": finding.operation,
        "effect": finding.effect,
    }
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": finding.label, "kind": "module"}]
    }
    where = place(finding)
    if where.path:
        location["physicalLocation"] = _physical(where)
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": plain(finding)},
        "locations": [location],
        "partialFingerprints": {"syzygy/v1": fingerprint},
        "properties": {name: value for name, value in properties.items() if value},
    }


def _suppression(item: Suppressed) -> dict[str, Any]:
    suppression: dict[str, Any] = {"kind": "external"}
    if item.location.path:
        suppression = {
            "kind": "inSource",
            "location": {"physicalLocation": _physical(item.location)},
        }
    if item.reason:
        suppression["justification"] = item.reason
    return suppression


def _physical(where: Location) -> dict[str, Any]:
    path = hosted_path(where.path)
    if PurePath(path).is_absolute():
        artifact = {"uri": PurePath(path).as_uri()}
    else:
        # A colon in the first part would make that the scheme.
        artifact = {"uri": quote(os.fsencode(path)), "uriBaseId": "%SRCROOT%"}
    return {"artifactLocation": artifact, "region": {"startLine": max(where.line, 1)}}
