"""What a received file may hold: which fields, of which types, how long; checked before anything of it is used.

Names and ids of a received file never name a path here, and numbers that a plan is made of have the bounds that a
person's own have.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from palate.recipe.codec import TAG, decode

Check = Callable[[Any, str], None]
"""Raises a ValueError where a value is not what a place may hold; the text names the place."""

LONGEST_NAME = 200
LONGEST_PATH = 4096
LONGEST_TEXT = 100_000
MOST_ENTRIES = 10_000
LARGEST = 1e100


def refuse_malformed(document: Any) -> None:
    """Refuse a document that is not a question with sealed forecasts of it.

    Raises:
        ValueError: a field is missing, was added, or holds something else than it may.
    """
    _EXPORT(document, "the file")


def _fault(where: str, what: str) -> ValueError:
    return ValueError(f"{where} {what}")


def _text(most: int, *, one_line: bool = False) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str):
            raise _fault(where, "is no text")
        if len(value) > most:
            raise _fault(where, f"is longer than {most} characters")
        if "\0" in value or (one_line and not value.isprintable()):
            raise _fault(where, "holds a control character")

    return check


def _matching(pattern: str, words: str) -> Check:
    compiled = re.compile(pattern)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise _fault(where, f"is not {words}")

    return check


def _one_of(*words: Any) -> Check:
    def check(value: Any, where: str) -> None:
        if not any(type(value) is type(word) and value == word for word in words):
            raise _fault(where, f"is none of {', '.join(map(repr, words))}")

    return check


def _whole(least: int, most: int) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise _fault(where, f"is no whole number from {least} to {most}")

    return check


def _number(value: Any, where: str) -> None:
    if type(value) not in (int, float) or not abs(value) <= LARGEST:  # nor NaN
        raise _fault(where, "is no number")


def _positive(value: Any, where: str) -> None:
    _number(value, where)
    if value <= 0:
        raise _fault(where, "is not above 0")


def _any(_: Any, __: str) -> None:
    """Take whatever JSON holds."""


def _value(value: Any, where: str) -> None:
    """Check an encoded value: what its tag says is made of text and numbers as it is written by palate."""
    if isinstance(value, list):
        for one in value:
            _value(one, where)
    elif isinstance(value, dict) and TAG not in value:
        for one in value.values():
            _value(one, where)
    elif isinstance(value, dict):
        _TAGGED(value, where)
        _payload(value[TAG], value["v"], where)


def _payload(tag: Any, payload: Any, where: str) -> None:
    if tag in ("tuple", "set", "frozenset", "dict"):
        _list(_list(_value, length=2) if tag == "dict" else _value)(payload, where)
    elif tag in ("float", "bytes", "path", "name", "enum"):
        _TEXT(payload, where)
    elif tag in ("opaque", "symbol"):
        _list(_TEXT, length=2 if tag == "opaque" else 3)(payload, where)
    elif tag == "secret":
        _PRINT(payload, where)
    elif tag == "object":
        _list(_maybe(_TEXT), length=2)(payload, where)
    elif tag == "tensor":
        _list(_any, length=4)(payload, where)
        for one, check in zip(payload, (_list(_whole(0, 2**63)), _TEXT, _FLAG, _TEXT), strict=True):
            check(one, where)
    decode({TAG: tag, "v": payload})  # refuses what no version writes


def _maybe(check: Check) -> Check:
    def maybe(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return maybe


def _list(check: Check, *, length: int | None = None) -> Check:
    def many(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) > MOST_ENTRIES or length not in (None, len(value)):
            raise _fault(where, "is no such list")
        for number, one in enumerate(value):
            check(one, f"{where}[{number}]")

    return many


def _map(check: Check, name: Check | None = None) -> Check:
    def many(value: Any, where: str) -> None:
        if not isinstance(value, dict) or len(value) > MOST_ENTRIES:
            raise _fault(where, "is no such mapping")
        for key, one in value.items():
            (name or _NAME)(key, f"a name in {where}")
            check(one, f"{where}.{key}")

    return many


def _fields(needed: Mapping[str, Check], others: Mapping[str, Check] | None = None) -> Check:
    def fields(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _fault(where, "is no mapping")
        known = {**needed, **(others or {})}
        if lacking := needed.keys() - value.keys():
            raise _fault(where, f"lacks {', '.join(sorted(lacking))}")
        if added := value.keys() - known.keys():
            raise _fault(where, f"has {', '.join(repr(name[:40]) for name in sorted(added)[:5])}, which is not known")
        for name, one in value.items():
            known[name](one, name if where == "the file" else f"{where}.{name}")

    return fields


_NAME = _text(LONGEST_NAME, one_line=True)
_TEXT = _text(LONGEST_TEXT)
_PATH = _text(LONGEST_PATH)
_FLAG = _one_of(True, False)
_ID = _matching("[0-9a-f]{8}", "an experiment's id")
_HASH = _matching("[0-9a-f]{64}", "a hash")
_PRINT = _matching(r"[\w.:-]{0,200}", "a fingerprint")
_LABEL = _matching(r"[^/\\\x00-\x1f\x7f-\x9f]{1,200}", "a name of what is trained")
_GOAL = _one_of("max", "min")
_PLACE = _fields({"root": _PATH, "cwd": _PATH, "home": _PATH, "over": _PATH, "instead": _PATH})
_HANDOVER = _matching(
    r"|parameter|settings|constant( ((?!/)[\w/-]{1,150}\.(py|sh|bash):)?[\w.]{1,200})?|--?[^\s\x00-\x1f]{1,200}"
    r"|(override|words) [^\s\x00-\x1f]{1,200}|position \d{1,4}"
    r"|environment (?!LD_|DYLD_|PYTHON|PALATE_|GIT_|PATH$|BASH_ENV$)[A-Za-z_]\w{0,99}",  # none that starts programs
    "a way to hand a value over",
)


def _task(value: Any, where: str) -> None:
    kinds = {
        "function": {"file": _PATH, "name": _NAME},
        "module": {"module": _NAME, "name": _NAME},
        "pickle": {"file": _PATH, "name": _NAME},
        "script": {"file": _PATH, "warm": _list(_NAME)},
        "command": {"argv": _list(_text(LONGEST_TEXT))},
    }
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise _fault(where, f"is of no kind that is known ({', '.join(kinds)})")
    others = {"script": {"module": _NAME}, "command": {"file": _PATH}}.get(kind, {})
    _fields({"kind": _any, **kinds[kind]}, {"place": _PLACE, **others})(value, where)
    if kind == "command" and not value["argv"]:
        raise _fault(where, "is a command without a word")


def _word(value: Any, where: str) -> None:
    """Check an argument: text, or a secret that is sealed."""
    if isinstance(value, dict) and value.get(TAG) == "secret":
        _value(value, where)
    else:
        _text(LONGEST_TEXT)(value, where)


_TAGGED = _fields({TAG: _TEXT, "v": _any})
_TARGET = _fields(
    {
        "label": _LABEL,
        "task": _task,
        "settings": _map(_value),
        "how": _map(_HANDOVER),
        "argv": _list(_word),
        "seed_by": _HANDOVER,
        "code": _PRINT,
        "versions": _map(_NAME),
        "choices": _map(_list(_value)),
        "counts": _map(_whole(-1, 10_000)),
        "folder": _PATH,
        "takes_any": _FLAG,
        "metric": _maybe(_NAME),
        "goal": _maybe(_GOAL),
        "resolution": _maybe(_positive),
        "data": _list(_PATH),
    }
)
_SPAN = _list(_whole(0, 1_000_000), length=2)
_METRIC = _fields({"name": _NAME, "goal": _GOAL, "resolution": _maybe(_positive)}, {"points": _FLAG})
_QUESTION = _fields(
    {
        "experiment": _ID,
        "text": _TEXT,
        "target": _TARGET,
        "changes": _list(_fields({"path": _NAME, "before": _value, "after": _value})),
        "metric": _METRIC,
        "take": _one_of("last", "best"),
        "margin": _maybe(_number),
        "budget": _whole(2, 100),
        "data": _PRINT,
        "recipes": _map(_HASH),
    },
    {
        "confounders": _list(_TEXT),
        "chunks": _map(_list(_TEXT, length=2)),
        "inputs": _map(_PRINT, _one_of("baseline", "treatment")),
        "edit": _fields(
            {
                "before": _TEXT,
                "after": _TEXT,
                "words": _TEXT,
                "target": _TARGET,
                "lines": _map(_list(_SPAN), _PATH),
                "id": _PRINT,
            }
        ),
        "as_logged": _one_of(True),
        "margin_from": _one_of("typed", "kept", "history", "measured", "resolution", "share"),
        "margin_runs": _whole(1, 10**6),
        "spent": _list(_whole(2, 100)),
        "bank": _list(_whole(0, 10**9)),
    },
)
_CHANCES = _fields(dict.fromkeys(("worse", "same", "better", "crash"), _number))
_REFERENCE = _fields(
    {
        "chances": _CHANCES,
        "unit": _number,
        "members": _map(_CHANCES),
        "weights": _map(_number),
        "nearest": _list(_NAME),
        "outcomes": _whole(0, 10**9),
    }
)
_COUNT = _whole(0, 10**15)
_FORECAST = _fields(
    {
        "experiment": _ID,
        "author": _NAME,
        "agent": _FLAG,
        "evidence_seen": _COUNT,
        "samples_seen": _COUNT,
        "share_seen": _maybe(_number),
        "asked_before": _FLAG,
        "reference": _REFERENCE,
        "margin": _maybe(_number),
        "seeds": _list(_COUNT, length=2),
        "nonce": _NAME,
    },
    {
        "answer": _NAME,
        "confidence": _whole(0, 100),
        "size": _maybe(_NAME),
        "quantiles": _list(_number, length=3),
        "why": _TEXT,
        "commit": _maybe(_NAME),
        "revises": _maybe(_HASH),
    },
)
_WHOLE = _fields(
    {
        "number": _whole(0, 10**9),
        "at": _matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", "a time"),
        "kind": _NAME,
        "body": _FORECAST,
        "previous": _HASH,
        "hash": _HASH,
    }
)
_PROMISE = _fields({"hash": _HASH, "author": _text(LONGEST_NAME), "turn": _NAME})


def _sent(value: Any, where: str) -> None:
    whole = isinstance(value, dict) and "body" in value
    (_WHOLE if whole else _PROMISE)(value, where)


_EXPORT = _fields({"schema": _TEXT, "question": _QUESTION, "forecasts": _list(_sent)})
