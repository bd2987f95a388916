"""What the stand-in recognisers say, word after word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tests.speech.standins.graphs import Graph

WORDS = {
    "en": "one two three four five six seven eight nine ten".split(),
    "de": "eins zwei drei vier fünf sechs sieben acht neun zehn".split(),
    "fr": "un deux trois quatre cinq six sept huit neuf dix".split(),
    "es": "uno dos tres cuatro cinco seis siete ocho nueve diez".split(),
}


def chain(size: int, rows: Sequence[Sequence[int]], start: dict[int, int]) -> np.ndarray[Any, Any]:
    """(size, size): after token i comes token j, round and round in each row; ``start`` is what begins a row."""
    follows = np.zeros((size, size), np.float32)
    for row in rows:
        for at, token in enumerate(row):
            follows[token, row[(at + 1) % len(row)]] = 10.0
    for before, first in start.items():
        follows[before, first] = 10.0
    return follows


def one_hot(graph: Graph, tokens: str, size: int) -> str:
    return graph.add("Gather", graph.const(np.eye(size)), tokens)
