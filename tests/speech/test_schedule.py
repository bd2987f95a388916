import numpy as np

from kallglot.speech.engines.schedule import Job, Schedule, Urgency

AUDIO = np.zeros(1, np.float32)


def job(stream: int, utterance: int, urgency: Urgency) -> Job:
    return Job(stream, utterance, urgency, 0, AUDIO, 8000)


def taken(schedule: Schedule) -> list[tuple[int, int, Urgency]]:
    found: list[tuple[int, int, Urgency]] = []
    while (one := schedule.next()) is not None:
        found.append((one.stream, one.utterance, one.urgency))
    return found


def test_finals_come_first_then_guesses_then_first_partials() -> None:
    schedule = Schedule()
    for stream, urgency in enumerate((Urgency.PARTIAL, Urgency.FIRST_PARTIAL, Urgency.GUESS, Urgency.FINAL)):
        schedule.add(job(stream, 1, urgency))
    assert [urgency for _, _, urgency in taken(schedule)] == sorted(Urgency)


def test_under_load_a_stream_has_one_partial_waiting_and_every_final() -> None:
    schedule = Schedule()
    for utterance in range(5):
        schedule.add(job(1, utterance, Urgency.PARTIAL))
        schedule.add(job(1, utterance, Urgency.FINAL))
    assert taken(schedule) == [(1, utterance, Urgency.FINAL) for utterance in range(5)]


def test_a_final_makes_the_partials_of_its_utterance_pointless() -> None:
    schedule = Schedule()
    schedule.add(job(1, 1, Urgency.PARTIAL))
    schedule.add(job(2, 1, Urgency.PARTIAL))
    schedule.add(job(1, 1, Urgency.FINAL))
    assert taken(schedule) == [(1, 1, Urgency.FINAL), (2, 1, Urgency.PARTIAL)]


def test_a_closed_stream_leaves_nothing() -> None:
    schedule = Schedule()
    schedule.add(job(1, 1, Urgency.FINAL))
    schedule.add(job(1, 2, Urgency.GUESS))
    schedule.drop(1)
    assert len(schedule) == 0


def test_newer_audio_keeps_the_place_that_the_older_had_in_the_queue() -> None:
    schedule = Schedule()
    for stream in (1, 2, 3):
        schedule.add(job(stream, 1, Urgency.PARTIAL))
    schedule.add(job(1, 2, Urgency.PARTIAL))
    assert taken(schedule) == [(1, 2, Urgency.PARTIAL), (2, 1, Urgency.PARTIAL), (3, 1, Urgency.PARTIAL)]


def test_a_guess_is_forgotten_when_the_speaker_goes_on() -> None:
    schedule = Schedule()
    schedule.add(job(1, 1, Urgency.GUESS))
    schedule.add(job(1, 1, Urgency.PARTIAL))
    schedule.forget(1, Urgency.GUESS)
    assert taken(schedule) == [(1, 1, Urgency.PARTIAL)]
