"""Every recording through every recogniser, over every line; every text through every translator."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kallglot.evaluation import scores
from kallglot.evaluation.corpus import Corpus, ParallelText, Recording
from kallglot.evaluation.engines import Engines, elsewhere
from kallglot.evaluation.lines import LEVEL_DB, LINES, Line, load
from kallglot.evaluation.listening import Heard, listen
from kallglot.evaluation.report import Recognised, RecordingResult, Report, SentenceResult, Translated, spaced
from kallglot.evaluation.scores import EvaluationError, word_errors
from kallglot.speech.languages import english_name
from kallglot.speech.types import EngineError, Recognizer, Translator

GIVE_UP: Final = 5
"""Recordings or sentences in a row that an engine failed at: it is asked no further."""
SENTENCE_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    lines: Sequence[Line] = LINES
    timed: int = 8
    """Recordings of each language and line that are heard once more in real time, for the delays."""
    real_time: bool = False
    """Everything goes in at the speed at which it was spoken."""
    most: int | None = None
    """Recordings of each language, and lines of each text."""
    level_db: float = LEVEL_DB
    """What both lines are brought to: their loudest sample, below full scale."""


Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, out of how much."""


async def evaluate(corpus: Corpus, engines: Engines, plan: Plan, progress: Progress) -> Report:
    """Raises :class:`EvaluationError` where nothing can be counted here."""
    scores.needed()
    report = Report(left_out=list(corpus.left_out))
    for language in dict.fromkeys(one.language for one in corpus.recordings):
        recordings = [one for one in corpus.recordings if one.language == language]
        recognizers = engines.recognizers(language)
        if not recognizers:
            why = f"no engine that was asked for recognises {english_name(language)} speech"
            report.left_out.append((f"{len(recordings)} recordings in {language}", why))
        for recognizer in recognizers:
            for line in plan.lines:
                report.recognised.append(await _recognised(recognizer, language, line, recordings, plan, progress))
    for text in corpus.texts:
        translators = engines.translators(text.source, text.target)
        if not translators:
            pair = f"{english_name(text.source)} to {english_name(text.target)}"
            what = f"{text.name}, {text.source} to {text.target}"
            report.left_out.append((what, f"no engine that was asked for translates {pair}"))
        for translator in translators:
            report.translated.append(await _translated(translator, text, plan, progress))
    return report


async def _recognised(
    recognizer: Recognizer, language: str, line: Line, recordings: list[Recording], plan: Plan, progress: Progress
) -> Recognised:
    found = Recognised(recognizer.name, language, line)
    # Somebody else's server may take no more than a caller can say.
    real_time = plan.real_time or elsewhere(recognizer)
    chosen = spaced(recordings, plan.most) if plan.most else recordings
    doing = f"{recognizer.name}, {language}, {line}"
    failures = 0
    for number, recording in enumerate(chosen):
        progress(doing, number, len(chosen))
        if failures >= GIVE_UP:
            heard = Heard(trouble=f"not asked any more after {GIVE_UP} failures in a row")
        else:
            heard = await _hear(recognizer, recording, line, plan.level_db, real_time=real_time)
            failures = failures + 1 if heard.trouble else 0
        errors = await asyncio.to_thread(word_errors, recording.text, heard.text, language)
        found.recordings.append(RecordingResult(recording.name, recording.text, heard, errors))
    progress(doing, len(chosen), len(chosen))
    answered = {one.name for one in found.answered}
    timed = [] if real_time else spaced([one for one in chosen if one.name in answered], plan.timed)
    for number, recording in enumerate(timed):
        progress(f"{doing}, in real time", number, len(timed))
        found.timed.append(await _hear(recognizer, recording, line, plan.level_db, real_time=True))
    if timed:
        progress(f"{doing}, in real time", len(timed), len(timed))
    return found


async def _hear(recognizer: Recognizer, recording: Recording, line: Line, level_db: float, *, real_time: bool) -> Heard:
    try:
        sound = await asyncio.to_thread(load, recording.path, line, level_db)
    except EvaluationError as error:
        return Heard(trouble=str(error))
    return await listen(recognizer, sound, recording.language, real_time=real_time)


async def _translated(translator: Translator, text: ParallelText, plan: Plan, progress: Progress) -> Translated:
    found = Translated(translator.name, text.name, text.source, text.target)
    lines = text.lines[: plan.most] if plan.most else text.lines
    doing = f"{translator.name}, {text.source} to {text.target}"
    failures = 0
    # Where it fails, the first sentence says why.
    with contextlib.suppress(EngineError):
        await translator.warm(text.source, text.target)
    for number, (source, reference) in enumerate(lines):
        progress(doing, number, len(lines))
        translation, seconds, trouble = "", 0.0, f"not asked any more after {GIVE_UP} failures in a row"
        if failures < GIVE_UP:
            translation, seconds, trouble = await _translate(translator, source, text)
            failures = failures + 1 if trouble else 0
        score = await asyncio.to_thread(scores.sentence_chrf, reference, translation)
        found.sentences.append(SentenceResult(source, reference, translation, seconds, score, trouble))
    progress(doing, len(lines), len(lines))
    references = [one.reference for one in found.sentences]
    translations = [one.translation for one in found.sentences]
    if references:
        found.bleu = await asyncio.to_thread(scores.bleu, references, translations)
        found.chrf = await asyncio.to_thread(scores.chrf, references, translations)
    return found


async def _translate(translator: Translator, source: str, text: ParallelText) -> tuple[str, float, str | None]:
    began = time.monotonic()
    try:
        async with asyncio.timeout(SENTENCE_PATIENCE_S):
            translation = await translator.translate(source, text.source, text.target)
    except TimeoutError:
        return "", 0.0, "it did not answer in time"
    except Exception as error:
        return "", 0.0, str(error) or type(error).__name__
    return translation, time.monotonic() - began, None
