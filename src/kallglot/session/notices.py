"""What a session was created with that is not done here: said on its stream, so that nobody waits for it."""

from __future__ import annotations

from kallglot.session.events import Warned
from kallglot.session.model import Session


def notices(session: Session, *, recorded: bool) -> list[Warned]:
    found: list[Warned] = []

    def unavailable(what: str) -> None:
        found.append(Warned("feature_not_available", what))

    if session.recording.get("enabled") and not recorded:
        found.append(Warned("recording_failed", "The session cannot be recorded at the moment."))
    if session.mode in ("ai_agent", "help_chat_voice"):
        unavailable(f"mode {session.mode} transcribes and passes audio on, but no agent answers in this version yet.")
    if session.transcription.get("profanity_filter"):
        unavailable("transcription.profanity_filter was stored, but nothing is filtered yet.")
    if session.translation.get("formality") not in (None, "default"):
        unavailable("translation.formality was stored, but translations don't follow it yet.")
    if session.carrier == "sip":
        unavailable("Nothing is dialled or answered by SIP yet; audio comes over this stream.")
    return found
