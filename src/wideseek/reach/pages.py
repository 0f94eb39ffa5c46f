"""What a page of a world of lists says: its numbered members, and its `column: value` lines."""

from __future__ import annotations

import re

from wideseek.records import Page

_LISTED = re.compile(r"^#\d+ +(\S.*?) *$", re.MULTILINE)
_FACT = re.compile(r"^([^:\n|#][^:\n]*?): +(\S.*?) *$", re.MULTILINE)
_HEADER = re.compile(r"^\|(.+)\| *\n\|[\s:|-]+\| *$", re.MULTILINE)


def members(page: Page) -> list[str]:
    return _LISTED.findall(page.text)


def facts(page: Page) -> dict[str, str]:
    return {label.strip().lower(): value for label, value in _FACT.findall(page.text)}


def labels(page: Page) -> list[str]:
    """The names of a page's lines, and those of its tables' columns."""
    headers = [cell.strip().lower() for row in _HEADER.findall(page.text) for cell in row.split("|")]
    return [*facts(page), *headers]
