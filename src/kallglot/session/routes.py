"""Who hears what: one route from a speaker to each set of listeners who hear them in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kallglot.session.model import Mode, Participant

OriginalAudio = Literal["duck", "mute", "pass"]


def same_language(a: str | None, b: str | None) -> bool:
    """Whether two BCP 47 tags name one language: regions and scripts don't make a translation necessary."""
    return a is not None and b is not None and a.split("-")[0].lower() == b.split("-")[0].lower()


@dataclass(frozen=True, slots=True)
class Route:
    """``target`` is the language that the listeners hear the speaker translated to; None: the speaker's own voice."""

    speaker_id: str
    target: str | None
    listener_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All routes that leave one speaker, and the languages their words are shown in.

    ``captions`` holds every distinct target language, first the one for the other side; it is longer than the spoken
    targets where someone reads the translation but hears the original. ``beneath`` are the listeners who hear the
    speaker's own voice beneath the translation, lowered while that is heard where ``ducked``.
    """

    routes: tuple[Route, ...]
    captions: tuple[str, ...]
    beneath: tuple[str, ...] = ()
    ducked: bool = False
    original_to: tuple[str, ...] = ()
    """Who hears the speaker's own voice, and no translation."""

    @property
    def translated(self) -> tuple[Route, ...]:
        return tuple(route for route in self.routes if route.target is not None)


def plan(
    mode: Mode, speaker: Participant, participants: Sequence[Participant], original_audio: OriginalAudio = "mute"
) -> Plan:
    """The routes from ``speaker``.

    A listener of the same language hears the speaker. A language that is not known yet gets nothing translated and
    the original voice, until it is known. In ``assistive_translation`` an agent always hears the customer's own voice
    and reads the translation.
    """
    others = [other for other in participants if other.id != speaker.id]
    others.sort(key=lambda other: other.role == speaker.role)
    spoken: dict[str | None, list[str]] = {}
    captions: list[str] = []
    for listener in others:
        translate = (
            speaker.language is not None
            and listener.language is not None
            and not same_language(speaker.language, listener.language)
        )
        target = listener.language if translate else None
        if target is not None:
            # Regions of one language share a route: the first that was named.
            target = next((known for known in captions if same_language(known, target)), target)
            if target not in captions:
                captions.append(target)
        hears_original = mode == "assistive_translation" and listener.role == "agent" and speaker.role == "customer"
        spoken.setdefault(None if hears_original else target, []).append(listener.id)
    routes = tuple(Route(speaker.id, target, tuple(ids)) for target, ids in spoken.items())
    beneath = (
        () if original_audio == "mute" else tuple(one for route in routes if route.target for one in route.listener_ids)
    )
    return Plan(routes, tuple(captions), beneath, original_audio == "duck", tuple(spoken.get(None, ())))
