"""A model's graphs in onnxruntime. Only for child processes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from kallglot.speech.engines.recognition_models import ModelSpec

Tensor = NDArray[Any]


def sessions(spec: ModelSpec) -> Callable[..., Any]:
    """What opens the graph of a role, or of the first of several that there is. It raises ``ValueError`` where there is
    none, else what onnxruntime raises for a file that it cannot use."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    onnxruntime.set_default_logger_severity(3)
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = spec.threads, 1

    def opened(*roles: str) -> Any:
        return onnxruntime.InferenceSession(spec.path(*roles), options, providers=["CPUExecutionProvider"])

    return opened
