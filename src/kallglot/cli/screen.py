"""A call as a person watches it: words that grow while somebody speaks, then the sentence and its translation."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text


class CallScreen:
    """On a terminal the unfinished words are redrawn in place; elsewhere each step of their growth is a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=12, transient=True) if console.is_terminal else None
        self._partials: dict[str, tuple[str, str, str]] = {}
        self._shown: dict[str, str] = {}

    def __enter__(self) -> CallScreen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, second: float, message: dict[str, Any]) -> None:
        match message["type"]:
            case "transcript.partial":
                self._partial(second, message)
            case "transcript.final":
                self._final(second, message)
            case "warning" | "error":
                style = "yellow" if message["type"] == "warning" else "red"
                self._print(Text(f"  {message['type']}: {message['message']}", style))
            case "session.ended":
                self._print(Text(f"  session ended: {message['reason']}", "dim"))
            case _:
                pass

    def _partial(self, second: float, message: dict[str, Any]) -> None:
        text, stable = message["text"], message["stable_text"]
        if not text:
            self._partials.pop(message["turn_id"], None)
            return
        self._partials[message["turn_id"]] = (message["speaker"], stable, text)
        if self._live is not None:
            self._live.update(Group(*(self._growing(*partial) for partial in self._partials.values())))
        elif self._shown.get(message["turn_id"]) != text:
            self._shown[message["turn_id"]] = text
            self._print(Text(f"{_clock(second)} {message['speaker']:>8} … {text}", "dim"))

    def _growing(self, speaker: str, stable: str, text: str) -> Text:
        line = Text(f"        {speaker:>8} … ", "dim")
        line.append(stable)
        line.append(text.removeprefix(stable), "dim italic")
        return line

    def _final(self, second: float, message: dict[str, Any]) -> None:
        self._partials.pop(message["turn_id"], None)
        line = Text(f"{_clock(second)} ", "dim")
        line.append(f"{message['speaker']:>8} ", "bold green" if message["speaker"] == "customer" else "bold magenta")
        line.append(f"[{message['language'] or '?'}] ", "dim")
        line.append(message["text"], "bold")
        self._print(line)
        for translation in message["translations"]:
            translated = Text(f"{'':>17} → ", "dim")
            translated.append(f"[{translation['language']}] ", "dim")
            translated.append(translation["text"], "cyan")
            self._print(translated)
        if self._live is not None:
            self._live.update(Group(*(self._growing(*partial) for partial in self._partials.values())))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)


def _clock(second: float) -> str:
    return f"{int(second // 60):02d}:{second % 60:05.2f}"
