"""Fills marked places of a Markdown text with tables and numbers.

A table is between two lines, `<!-- table: NAME -->` and `<!-- end -->`; a number in a sentence is between
`<!-- number: NAME -->` and `<!-- end -->`. The comments are not visible in rendered text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

TABLE = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(^<!-- end -->$)", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(<!-- number: (.+?) -->)([^<]*)(<!-- end -->)", re.DOTALL)
OPENING = re.compile(r"<!-- (?:table|number): .+? -->")


def filled(text: str, tables: Mapping[str, Callable[[], str]], numbers: Mapping[str, str]) -> str:
    """The text with every marked place filled. ValueError of one sentence for an unknown name, or a place without an
    end."""

    def table(match: re.Match[str]) -> str:
        return match[1] + _entry(match[2], tables, "table")().rstrip("\n") + "\n" + match[4]

    def number(match: re.Match[str]) -> str:
        return match[1] + _entry(match[2], numbers, "number") + match[4]

    closed = len(TABLE.findall(text)) + len(NUMBER.findall(text))
    if closed != len(OPENING.findall(text)):
        raise ValueError("A marked place is not closed: write <!-- end --> after it, for a table on a line of its own.")
    return NUMBER.sub(number, TABLE.sub(table, text))


def _entry(name: str, known: Mapping[str, Any], what: str) -> Any:
    if name not in known:
        near = [other for other in known if other.split(".")[0] == name.split(".")[0]]
        raise ValueError(f"There is no {what} {name!r} in the results: there are {', '.join(near[:6]) or 'none such'}.")
    return known[name]
