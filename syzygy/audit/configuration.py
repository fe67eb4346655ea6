"""The setting ``SYZYGY_AUDIT``: what it says, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from syzygy import conf
from syzygy.audit.base import AuditRule
from syzygy.audit.findings import Severity
from syzygy.messages import error_line

KEYS = ("IGNORE", "RULES", "MIGRATE", "FAIL_LEVEL")
# What "migrate --pre-deploy" does about breaking findings.
MIGRATE = ("warn", "refuse", "off")
_CODE = re.compile(r"[A-Z]+[0-9]+")
_IGNORE_HINT = 'Map app labels, "app_label.migration_name" or "*" to lists of codes.'


class AuditConfiguration(NamedTuple):
    """What the setting says; what is wrong with it is left out of it."""

    ignored: Mapping[str, Collection[str]]
    rules: Mapping[str, AuditRule]
    migrate: str = "warn"
    fail_level: Severity = Severity.BREAKING


def read() -> AuditConfiguration:
    """The setting, as it is now.

    Raises :class:`ImproperlyConfigured` if something is wrong with it.
    """
    found: list[conf.Problem] = []
    configuration = _read(found)
    for problem in found:
        raise ImproperlyConfigured(f"{problem.message} {problem.hint}")
    return configuration


def problems() -> list[conf.Problem]:
    """All that is wrong with the setting."""
    found: list[conf.Problem] = []
    _read(found)
    return found


def _read(found: list[conf.Problem]) -> AuditConfiguration:
    value = getattr(settings, conf.AUDIT, None)
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        found.append(
            _problem(
                f"is no dictionary but {value!r}", f"Its keys may be {_listed(KEYS)}."
            )
        )
        value = {}
    found += [
        _problem(f"has the unknown key {key!r}", f"Use {_listed(KEYS)}.")
        for key in value
        if key not in KEYS
    ]
    rules = {rule.code: rule for rule in _read_rules(value.get("RULES", ()), found)}
    return AuditConfiguration(
        ignored=dict(_read_ignored(value.get("IGNORE", {}), rules, found)),
        rules=rules,
        migrate=_choose(value, "MIGRATE", MIGRATE, "warn", found),
        fail_level=Severity(
            _choose(
                value,
                "FAIL_LEVEL",
                [severity.value for severity in Severity],
                Severity.BREAKING.value,
                found,
            )
        ),
    )


def _choose(
    value: Mapping[str, Any],
    key: str,
    choices: Collection[str],
    default: str,
    found: list[conf.Problem],
) -> str:
    chosen = value.get(key, default)
    if chosen in choices:
        return str(chosen)
    found.append(_problem(f'has {chosen!r} for "{key}"', f"Use {_listed(choices)}."))
    return default


def _read_rules(value: Any, found: list[conf.Problem]) -> Iterator[AuditRule]:
    from syzygy.audit.catalogue import all_rules

    taken = set(all_rules())
    if not isinstance(value, list | tuple | set):
        found.append(_problem(f'has {value!r} for "RULES"', "Make it a list of paths."))
        return
    for path in value:
        try:
            rule_class = import_string(path) if isinstance(path, str) else path
        except Exception as error:  # noqa: BLE001 - importing runs anybody's code
            found.append(
                _problem(
                    f"names the rule {path!r}, which can't be imported: "
                    f"{error_line(error)}",
                    "Use the dotted path of a class.",
                )
            )
            continue
        if not (isinstance(rule_class, type) and issubclass(rule_class, AuditRule)):
            found.append(
                _problem(
                    f"has {path!r} among its rules, which is none",
                    "Derive it from syzygy.audit.base.AuditRule.",
                )
            )
        elif not _CODE.fullmatch(str(rule_class.code)) or rule_class.code in taken:
            found.append(
                _problem(
                    f"has the rule {path!r}, whose code is {rule_class.code!r}",
                    "Give it a code of its own, of capital letters and digits.",
                )
            )
        else:
            taken.add(rule_class.code)
            try:
                yield rule_class()
            except Exception as error:  # noqa: BLE001 - anybody's code, too
                found.append(
                    _problem(
                        f"has the rule {path!r}, which can't be made: "
                        f"{error_line(error)}",
                        "It has to take no arguments.",
                    )
                )


def _read_ignored(
    value: Any, rules: Collection[str], found: list[conf.Problem]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    from syzygy.audit.catalogue import all_rules

    known = {*all_rules(), *rules, "*"}
    if not isinstance(value, Mapping):
        found.append(_problem(f'has {value!r} for "IGNORE"', _IGNORE_HINT))
        return
    for key, codes in value.items():
        if not isinstance(key, str) or not isinstance(codes, list | tuple | set):
            found.append(_problem(f"ignores {codes!r} for {key!r}", _IGNORE_HINT))
            continue
        if problem := key != "*" and conf.unknown_key(conf.AUDIT, key):
            found.append(problem)
        right = [code for code in codes if isinstance(code, str) and code in known]
        found += [
            _problem(
                f"ignores {code!r} for {key!r}, which is no rule",
                'Use codes such as "SZ012", or "*".',
            )
            for code in codes
            if code not in right
        ]
        yield key, tuple(right)


def _problem(what: str, hint: str) -> conf.Problem:
    return conf.Problem(conf.AUDIT, f'The setting "{conf.AUDIT}" {what}.', hint)


def _listed(words: Collection[str]) -> str:
    *first, last = (f'"{word}"' for word in words)
    return f"{', '.join(first)} or {last}"
