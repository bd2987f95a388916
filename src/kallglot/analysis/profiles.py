"""Profiles: what an analysis looks for, as data. The built-in ones are in ``profiles.toml``; an operator's file has the
same form, in TOML or JSON, and its profiles take the place of built-in ones of the same name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import msgspec
import re2 as untyped_re2  # pyright: ignore[reportMissingTypeStubs]

from kallglot.analysis.words import unaccented

re2 = cast(Any, untyped_re2)

EVERY_LANGUAGE: Final = "*"
MOST_RULES: Final = 100
MOST_PATTERNS: Final = 100
LARGEST_FILE: Final = 1024 * 1024
PATTERN_MEMORY: Final = 1 << 20
"""Bytes for a pattern and what it makes of itself while it runs."""

_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,79}$"
_TAG: Final = re.compile(r"[a-z]{2,3}")


class ProfilesError(ValueError):
    """The file cannot be used; says where and why."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``required``: one of the patterns has to be said, by ``within_turns`` of the speaker's turns and
    ``within_seconds`` of the first word, where these are given. ``forbidden``: none may be said.

    ``patterns`` are RE2 expressions by base language, or ``*`` for any; neither case nor accents matter."""

    code: Annotated[str, msgspec.Meta(pattern=_NAME)]
    kind: Literal["required", "forbidden"]
    message: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    patterns: dict[str, list[str]]
    speaker: Literal["agent", "customer", "any"] = "agent"
    within_turns: Annotated[int, msgspec.Meta(ge=1)] | None = None
    within_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    when: Literal["always", "recorded"] = "always"
    """``recorded``: the rule is only for sessions that are recorded."""
    luhn: bool = False
    """What a pattern finds counts only where its digits are those of a card (ISO/IEC 7812, annex B)."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    description: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    instructions: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    """For a language model: what to pay attention to."""
    rules: Annotated[list[Rule], msgspec.Meta(max_length=MOST_RULES)] = []


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    profiles: dict[Annotated[str, msgspec.Meta(pattern=_NAME)], Profile]


def load(path: Path | None = None) -> dict[str, Profile]:
    """The built-in profiles and those in the file, by name. Raises :class:`ProfilesError`."""
    built_in = resources.files(__package__ or "kallglot.analysis").joinpath("profiles.toml").read_text("utf-8")
    found = _read(tomllib.loads(built_in), "the built-in profiles")
    if path is None:
        return found
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ProfilesError(f"{path}: expected at most {LARGEST_FILE} bytes")
        text = path.read_text("utf-8")
        document: Any = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, UnicodeError, json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfilesError(f"{path}: {error}") from None
    return {**found, **_read(document, str(path))}


def compiled(pattern: str) -> Any:
    """RE2: what it takes grows with the text, whatever the pattern. Raises ``ValueError`` with the reason."""
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    options.case_sensitive = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason: Any = error.args[0] if error.args else "not understood"
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None


def _read(document: Any, where: str) -> dict[str, Profile]:
    try:
        profiles = msgspec.convert(document, _File).profiles
    except msgspec.ValidationError as error:
        raise ProfilesError(f"{where}: {error}") from None
    for name, profile in profiles.items():
        codes = [rule.code for rule in profile.rules]
        for rule in profile.rules:
            place = f"{where}: profile {name}, rule {rule.code}"
            if codes.count(rule.code) > 1:
                raise ProfilesError(f"{place}: the code is there twice")
            _check(rule.patterns, place)
    return profiles


def _check(patterns: Mapping[str, list[str]], place: str) -> None:
    if not any(patterns.values()) or sum(len(some) for some in patterns.values()) > MOST_PATTERNS:
        raise ProfilesError(f"{place}: expected 1 to {MOST_PATTERNS} patterns")
    for language, some in patterns.items():
        if language != EVERY_LANGUAGE and not _TAG.fullmatch(language):
            raise ProfilesError(f"{place}: expected a language like de, or *, got {language!r}")
        for pattern in some:
            try:
                matches_nothing = compiled(unaccented(pattern)).search("") is not None
            except ValueError as error:
                raise ProfilesError(f"{place}: {pattern!r}: {error}") from None
            if matches_nothing:
                raise ProfilesError(f"{place}: {pattern!r} matches where there is nothing")
