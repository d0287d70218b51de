"""Where in a TOML text a field stands: the parser of the standard library keeps no lines of values."""

from __future__ import annotations

import re
import tomllib

from .errors import InvalidPolicy


def line_of(text: str, field: str) -> int | None:
    """The line, counted from 1, of a dotted `field` such as `layers[1].samples`; the nearest table's if absent."""
    names = re.findall(r"([A-Za-z_][\w-]*)(?:\[(\d+)\])?", field)
    place: int | None = None
    start = 0
    lines = text.splitlines()
    for name, index in names:
        found = _header(lines, name, int(index or 0), start) or _key(lines, name, start)
        if found is None:
            break
        place, start = found, found
    return place


def syntax_error(error: tomllib.TOMLDecodeError, text: str, source: str) -> InvalidPolicy:
    """A parse error as an InvalidPolicy with its line; what is missing is missed on the last one."""
    place = re.search(r"\(at line (\d+)", str(error))
    line = int(place[1]) if place else text.count("\n") + 1
    return InvalidPolicy("toml", str(error), "valid TOML is expected", source=source, line=line)


def _header(lines: list[str], name: str, index: int, start: int) -> int | None:
    header = re.compile(rf"\s*\[{{1,2}}(?:[\w-]+\.)*{re.escape(name)}\]")
    places = [number for number, line in enumerate(lines, 1) if number > start and header.match(line)]
    return places[index] if index < len(places) else None


def _key(lines: list[str], name: str, start: int) -> int | None:
    key = re.compile(rf"\s*(?:.*[{{,.]\s*)?{re.escape(name)}\s*=")
    for number, line in enumerate(lines[max(0, start - 1) :], max(1, start)):
        if number > start and re.match(r"\s*\[", line):
            return None
        if key.match(line):
            return number
    return None
