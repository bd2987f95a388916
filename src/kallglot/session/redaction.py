"""What of a transcript is not kept: card numbers, and what an organisation's own patterns match.

It is taken out before a turn is stored or told. What is spoken to the other side is not touched.

Card numbers have 13 to 19 digits, begin with 2 to 6, end in a Luhn digit, and are said in groups, often over several
turns. So digits are counted in *runs*: digits and number words with nothing but separators and filler words between
them. Within a turn, every part of a run that is a whole card number is masked. A run that begins like a card and is
still going on when the turn ends may be the first part of one: of it, eight digits are kept (what PCI DSS 4.0,
requirement 3.4, lets be shown of the beginning) and the rest is masked, and so is what the speaker goes on with in the
next turns, as long as these hold nothing but digits and come soon.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Final

from kallglot.session.model import Translation, Turn
from kallglot.session.numerals import Numerals, numerals
from kallglot.session.patterns import Patterns, patterns

CARD: Final = "[card number]"
KEPT_DIGITS: Final = 8
SHORTEST: Final = 13
LONGEST: Final = 19
BEHIND: Final = 8
"""Digits said right behind a card are masked too: until when it is valid, its security code."""
RESUMED_MS: Final = 30_000
"""Digits that come later than this after the last do not go on with them."""
GIVEN_AWAY: Final = 3
"""Digits in a row that a translation may not show when the original was masked."""
MOST_DIGITS: Final = 120
"""In one run; a longer one, which nobody says, is masked as a whole."""

_WORD: Final = re.compile(r"\[card number\]|\d+|[^\W\d_]+")
_NOT_LETTERS: Final = re.compile(r"[\W\d_]")
_DOUBLED: Final = tuple(sum(divmod(2 * n, 10)) for n in range(10))
_NUMBER: Final = re.compile(r"\d|\[card number\]")
_SEPARATORS: Final = re.compile(r"[\s\-‐-―−.,;/_*·•|()'’\u200b\u2060]*")
_DATE: Final = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d-(?:0\d|1[0-2])-[0-3]\d|[0-3]?\d[./-](?:0?[1-9]|1[0-2])[./-](?:19|20)\d\d"
    r"|(?:0?[1-9]|1[0-2])/[0-3]?\d/(?:19|20)\d\d)(?!\d)"
)
_AMOUNT: Final = re.compile(r"\d{1,3}(?:[.,'’ ]\d{3})+(?:[.,]\d{2})?|\d{1,8}[.,]\d{2}")
_TELEPHONE: Final = re.compile(r"\(?\d{3}\)?[-. ]{1,2}\d{3}[-. ]\d{4}")


@dataclass(frozen=True, slots=True)
class _Digits:
    """Where in a text some digits are said. ``text`` is empty for what was masked already."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Speaker:
    """The run that one speaker is in the middle of, in one language."""

    digits: str = ""
    masked: bool = False
    until_ms: int = 0


@dataclass(slots=True)
class Redaction:
    """What a session masks, and which runs of digits its speakers are in the middle of."""

    card_numbers: bool = False
    patterns: Patterns = field(default_factory=Patterns)
    _runs: dict[tuple[str, str | None], Speaker] = field(default_factory=dict[tuple[str, str | None], Speaker])

    async def turn(self, turn: Turn) -> Turn:
        """The turn as it may be kept and told; those of a speaker one after the other."""
        turn = self.digits(turn)
        if not self.patterns:
            return turn
        translations = [Translation(one.language, await self.patterns.masked(one.text)) for one in turn.translations]
        return replace(turn, text=await self.patterns.masked(turn.text), translations=tuple(translations))

    def digits(self, turn: Turn) -> Turn:
        """The turn without card numbers."""
        if not self.card_numbers:
            return turn
        run = self._run(turn.participant_id, None)
        text, masked = _cards(turn.text, turn.language, run, turn.start_ms, turn.end_ms)
        translations = tuple(self._translation(one, turn, masked) for one in turn.translations)
        return replace(turn, text=text, translations=translations)

    def partial(self, participant_id: str, text: str, language: str | None, at_ms: int) -> str | None:
        """A text that is still going on, masked as far as that can be told already; None where patterns would take
        longer than it can wait."""
        if self.card_numbers:
            found = self._guessed(participant_id, text, language, at_ms)
            if found == text and (start := _last_word(text)) is not None:
                # Half a word does not end a number.
                found = self._guessed(participant_id, text[:start], language, at_ms) + text[start:]
            text = found
        return self.patterns.soon(text) if self.patterns else text

    def _guessed(self, participant_id: str, text: str, language: str | None, at_ms: int) -> str:
        known = self._run(participant_id, None)
        return _cards(text, language, Speaker(known.digits, known.masked, known.until_ms), at_ms, at_ms)[0]

    def resume(self, turns: Iterable[Turn]) -> None:
        """Goes on where an earlier life of the session left off: ``turns`` as they were kept."""
        if self.card_numbers:
            for turn in turns:
                self.digits(turn)

    def _translation(self, one: Translation, turn: Turn, masked: bool) -> Translation:
        run = self._run(turn.participant_id, one.language)
        text, _ = _cards(one.text, one.language, run, turn.start_ms, turn.end_ms, given_away=masked)
        return Translation(one.language, text)

    def _run(self, participant_id: str, language: str | None) -> Speaker:
        return self._runs.setdefault((participant_id, language), Speaker())


def redaction(policy: Mapping[str, Any] | None) -> Redaction:
    """As a session keeps it: ``{"card_numbers": bool, "patterns": [{"name", "pattern", "replacement"}]}``."""
    if not policy:
        return Redaction()
    return Redaction(bool(policy.get("card_numbers")), patterns(policy.get("patterns") or ()))


# Card numbers


def _cards(
    text: str, language: str | None, state: Speaker, start_ms: int, end_ms: int, *, given_away: bool = False
) -> tuple[str, bool]:
    """The text without its card numbers, and whether there were any. ``state`` moves on behind the text."""
    if start_ms - state.until_ms > RESUMED_MS:
        state.digits, state.masked = "", False
    known = numerals(language)
    if state.digits == "" and not state.masked and not _NUMBER.search(text):
        words = set(text.lower().replace("-", " ").split())
        if known.first.isdisjoint(word.strip(".,;:!?") for word in words) and known.times.keys().isdisjoint(words):
            return text, False
    spans: list[tuple[int, int]] = []
    going_on = state.digits != "" or state.masked
    last: list[_Digits] = []
    for run, opens, closes in _runs(text, known):
        before = state.digits if opens and going_on else ""
        masking = opens and going_on and state.masked
        found = _masked(text, run, before, masking=masking, closes=closes)
        if given_away and sum(len(one.text) for one in run) >= GIVEN_AWAY:
            found = [(one.start, one.end) for one in run if one.text]
        spans.extend(found)
        last = run if closes else []
        if closes:
            digits = before + "".join(one.text for one in run)
            state.masked = masking or bool(found) or any(not one.text for one in run)
            state.digits = digits if state.masked or digits[:1] in "23456" else ""
    if last:
        state.until_ms = end_ms
        if len(state.digits) > LONGEST + BEHIND:
            state.digits, state.masked = "", False
    elif not _only_fillers(text, known):
        state.digits, state.masked = "", False
    else:
        state.until_ms = end_ms if going_on else state.until_ms
    return _replaced(text, spans), bool(spans)


def _masked(text: str, run: list[_Digits], before: str, *, masking: bool, closes: bool) -> list[tuple[int, int]]:
    """What of a run of this text has to go, ``before`` being what the speaker said of it in earlier turns."""
    said = "".join(one.text for one in run)
    whole = before + said
    gone = [len(whole) > MOST_DIGITS] * len(whole)
    for start, end in _card_numbers(whole):
        gone[start:end] = [True] * (end - start)
    carried = bool(before) or masking
    if masking:
        gone[len(before) :] = [True] * len(said)
    elif closes or carried:
        like_a_card = whole[:1] in set("23456")
        if like_a_card and len(whole) > KEPT_DIGITS and (carried or not _something_else(text, run)):
            gone[KEPT_DIGITS:] = [True] * (len(whole) - KEPT_DIGITS)
    at = len(before)
    spans: list[tuple[int, int]] = []
    through = False
    for one in run:
        lost = [n for n in range(len(one.text)) if gone[at + n]]
        at += len(one.text)
        joins, through = through and lost[:1] == [0], lost[-1:] == [len(one.text) - 1]
        if not lost:
            continue
        # Of digits as they are written, those before may stay; a number word goes as a whole.
        written = one.end - one.start == len(one.text)
        start, end = (one.start + lost[0], one.start + lost[-1] + 1) if written else (one.start, one.end)
        spans.append((spans.pop()[0], end) if joins else (start, end))
    return spans


def _something_else(text: str, run: list[_Digits]) -> bool:
    """Whether so many digits are written as nobody writes the first part of a card number."""
    start, end = run[0].start, run[-1].end
    if text[start - 1 : start] == "(":
        start -= 1
    written = text[start:end]
    if text[:start].rstrip().endswith("+"):
        return True
    return bool(_TELEPHONE.fullmatch(written) or _AMOUNT.fullmatch(written) or _DATE.search(written))


def _card_numbers(digits: str) -> Iterator[tuple[int, int]]:
    if not SHORTEST <= len(digits) <= MOST_DIGITS:
        return
    # Luhn sums of what comes before each place, with even places doubled and with odd ones.
    values = [int(one) for one in digits]
    sums = [
        list(accumulate((_DOUBLED[n] if at % 2 == parity else n for at, n in enumerate(values)), initial=0))
        for parity in (0, 1)
    ]
    for start in range(len(digits) - SHORTEST + 1):
        if digits[start] in "23456":
            for end in range(start + SHORTEST, min(start + LONGEST, len(digits)) + 1):
                if (sums[end % 2][end] - sums[end % 2][start]) % 10 == 0:
                    yield start, end


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        total += value if place % 2 == 0 else _DOUBLED[value]
    return total % 10 == 0


def _runs(text: str, known: Numerals) -> Iterator[tuple[list[_Digits], bool, bool]]:
    """Runs of digits; whether nothing else comes before in the text, and whether nothing comes behind."""
    run: list[_Digits] = []
    opens, end = True, 0
    for token in _tokens(text, known):
        apart = _SEPARATORS.fullmatch(text, end, token.start if isinstance(token, _Digits) else token[0]) is None
        end = token.end if isinstance(token, _Digits) else token[1]
        if isinstance(token, _Digits):
            if apart and run:
                yield run, opens, False
                run, opens = [], False
            elif apart:
                opens = opens and text[: token.start].strip('¿¡"„“«# ') == ""
            run.append(token)
            continue
        if text[token[0] : token[1]].lower() in known.between and not apart:
            continue
        if run:
            yield run, opens, False
        run, opens = [], False
    if run:
        yield run, opens, _ends(text[end:], known)


def _tokens(text: str, known: Numerals) -> Iterator[_Digits | tuple[int, int]]:
    """Digits with what they are, and the places of other words."""
    words = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    lower = [text[start:end].lower() for start, end in words]
    at, times, since = 0, 1, 0
    while at < len(words):
        start, end = words[at]
        if lower[at] == CARD:
            yield _Digits(start, end, "")
            at += 1
            continue
        if lower[at][0].isdecimal():
            digits, used = "".join(str(unicodedata.decimal(one)) for one in lower[at]), 1
        else:
            digits, used = _number(lower, at, known)
        if digits:
            first = start if times == 1 else since
            yield _Digits(first, words[at + used - 1][1], digits * (times if len(digits) == 1 else 1))
            at, times = at + used, 1
        elif lower[at] in known.times:
            times, since, at = known.times[lower[at]], start, at + 1
        elif times > 1 and lower[at] in known.between:
            at += 1
        else:
            if times > 1:
                times = 1
                yield since, start
            yield start, end
            at += 1


def _number(words: list[str], at: int, known: Numerals) -> tuple[str, int]:
    """The digits of the longest number that begins at a word, and how many words it takes."""
    if words[at] in known.first:
        for used in range(min(known.longest, len(words) - at), 0, -1):
            digits = known.digits.get(tuple(words[at : at + used]))
            if digits is not None:
                return digits, used
    return "", 0


def _ends(rest: str, known: Numerals) -> bool:
    """Whether nothing comes behind a run that says what it was."""
    words = [match.group().lower() for match in _WORD.finditer(rest)]
    return all(word in known.between or word in known.times for word in words) and not set(rest) & set("€$£¥%")


def _only_fillers(text: str, known: Numerals) -> bool:
    return all(match.group().lower() in known.between for match in _WORD.finditer(text))


def _replaced(text: str, spans: list[tuple[int, int]]) -> str:
    """Spans with only separators between them become one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and (start <= joined[-1][1] or _SEPARATORS.fullmatch(text, joined[-1][1], start)):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    pieces: list[str] = []
    kept = 0
    for start, end in joined:
        pieces += text[kept:start], CARD
        kept = end
    return "".join([*pieces, text[kept:]])


def _last_word(text: str) -> int | None:
    """Where the last word begins, if nothing but separators comes behind it."""
    end = len(text)
    while end and not (text[end - 1].isalnum() or text[end - 1] == "_"):
        end -= 1
    start = end
    while start and not _NOT_LETTERS.match(text[start - 1]):
        start -= 1
    return start if start < end else None
