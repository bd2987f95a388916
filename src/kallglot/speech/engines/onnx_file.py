"""The trained numbers in an ONNX file, without what would run them.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Of its messages only these fields are named here; all
others are passed over.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from kallglot.audio.levels import Floats

_FLOAT: Final = 1
_OPTIONAL, _REPEATED = 1, 3
_INT64, _INT32, _MESSAGE, _STRING, _BYTES = 3, 5, 11, 9, 12
"""Of ``descriptor.proto``."""


def tensors(path: Path) -> dict[str, Floats]:
    """Those of type float, by name. Raises ``OSError``, and ``ValueError`` for what is no ONNX file."""
    message: Any = importlib.import_module("google.protobuf.message")
    model = _model()()
    try:
        model.ParseFromString(path.read_bytes())
    except message.DecodeError:
        raise ValueError(f"{path.name} is no ONNX file") from None
    return {
        one.name: np.frombuffer(one.raw_data, "<f4").reshape(tuple(one.dims))
        for one in model.graph.initializer
        if one.data_type == _FLOAT
    }


@cache
def _model() -> Any:
    described: Any = importlib.import_module("google.protobuf.descriptor_pb2")
    pool: Any = importlib.import_module("google.protobuf.descriptor_pool")
    factory: Any = importlib.import_module("google.protobuf.message_factory")
    file = described.FileDescriptorProto(name="kallglot/onnx.proto", package="kallglot.onnx", syntax="proto2")

    def describe(name: str, *fields: tuple[str, int, int, int, str]) -> None:
        message = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            added = message.field.add(name=field, number=number, label=label, type=kind)
            if of:
                added.type_name = f".kallglot.onnx.{of}"

    describe(
        "TensorProto",
        ("dims", 1, _REPEATED, _INT64, ""),
        ("data_type", 2, _OPTIONAL, _INT32, ""),
        ("name", 8, _OPTIONAL, _STRING, ""),
        ("raw_data", 9, _OPTIONAL, _BYTES, ""),
    )
    describe("GraphProto", ("initializer", 5, _REPEATED, _MESSAGE, "TensorProto"))
    describe("ModelProto", ("graph", 7, _OPTIONAL, _MESSAGE, "GraphProto"))
    own = pool.DescriptorPool()
    own.Add(file)
    return factory.GetMessageClass(own.FindMessageTypeByName("kallglot.onnx.ModelProto"))
