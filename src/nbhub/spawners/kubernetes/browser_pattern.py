"""A regular expression of Python as browsers understand it, so that a mistake is told before a form is sent."""

from __future__ import annotations

import re

_CLASSES = {"w": r"\p{L}\p{N}_", "d": r"\p{Nd}", "s": r"\s"}
_SYNTAX = set(r"^$\.*+?()[]{}|/")
_ONLY_INSIDE = set("-&!#%,:;<=>@`~")  # what browsers let one escape in a set alone
_TOKEN = re.compile(r"\\(?P<escaped>.)|\[(?P<inverse>\^?)(?P<set>\]?(?:\\.|[^\]\\])*)\]|(?P<plain>.)", re.DOTALL)
_ITEM = re.compile(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", re.DOTALL)  # one letter of a set, or a range of them
_NOT_THERE = re.compile(r"\(\?(?![:=!])|\\[AZbBDWSNUuxnrtfva0-9]|\{(?!\d+(,\d*)?\})|[*+?}]\+")


def browser_pattern(expression: str) -> str:
    """Return what the attribute `pattern` takes, which holds for a whole value; empty where there is no such thing.

    It refuses nothing that Python takes; the hub has the last word in any case.
    """
    return "" if _NOT_THERE.search(expression) else _TOKEN.sub(_token, expression)


def _token(found: re.Match[str]) -> str:
    if found["escaped"]:
        letter = found["escaped"]
        return f"[{_CLASSES[letter]}]" if letter in _CLASSES else _letter(letter, _SYNTAX)
    if found["plain"]:
        return _letter(found["plain"], set("]"))
    return f"[{found['inverse']}{_ITEM.sub(_item, found['set'])}]"


def _item(found: re.Match[str]) -> str:
    return "-".join(_inside(part) for part in found.groups() if part)


def _inside(part: str) -> str:
    letter = part[-1]
    if len(part) > 1 and letter in _CLASSES:
        return _CLASSES[letter]
    return _letter(letter, _SYNTAX | _ONLY_INSIDE)


def _letter(letter: str, escaped: set[str]) -> str:
    return f"\\{letter}" if letter in escaped else letter
