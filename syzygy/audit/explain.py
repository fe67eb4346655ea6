"""The pages of the rules, for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.core.management import CommandError

from syzygy.audit.base import AuditRule
from syzygy.audit.catalogue import all_rules, page_of

_LABEL = re.compile(r"^\.\. _[^:\n]+:\n\n?", re.MULTILINE)
_BLOCK = re.compile(r"^\.\. code-block:: \w+\n(?:   :caption: (.+)\n)?\n", re.MULTILINE)
_TITLED_ROLE = re.compile(r":\w+:`([^`<]+?) <[^`>]+>`")
_ROLE = re.compile(r":\w+:`([^`]+)`")
_LITERAL = re.compile(r"``([^`]+)``")


def explain(code: str, rules: Mapping[str, AuditRule]) -> str:
    """The page of the rule with that code; ``rules`` are those of the project.

    Raises :class:`CommandError` for a code that no rule has.
    """
    known = {**all_rules(), **rules}
    rule = known.get(code.upper()) or known.get(code)
    if rule is None:
        raise CommandError(
            f'There is no rule "{code}"; the codes are {", ".join(known)}.'
        )
    return as_text(page_of(rule)) or f"{rule.code}: {rule.name}\n\n{rule.summary}"


def as_text(page: str) -> str:
    """A page without the marks that mean something only to Sphinx."""
    page = _LABEL.sub("", page)
    page = _BLOCK.sub(lambda match: f"{match[1] or 'Example'}:\n\n", page)
    for mark in (_TITLED_ROLE, _ROLE, _LITERAL):
        page = mark.sub(r"\1", page)
    return page.strip()
