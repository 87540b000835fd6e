"""An ONNX graph whose weights lie in another file, written in protobuf's wire format."""

from __future__ import annotations

_FLOAT = 1
_EXTERNAL = 1


def external_model(location: str, size: int = 16) -> bytes:
    """``out = input + weights`` on (n, 4), with the weights at ``location``."""
    weights = b"".join(
        [
            _number(1, 4),  # dims
            _number(2, _FLOAT),
            _text(8, "weights"),
            _message(13, _text(1, "location") + _text(2, location)),
            _message(13, _text(1, "length") + _text(2, str(size))),
            _number(14, _EXTERNAL),
        ]
    )
    node = _text(1, "input") + _text(1, "weights") + _text(2, "out") + _text(4, "Add")
    graph = b"".join(
        [
            _message(1, node),
            _text(2, "graph"),
            _message(5, weights),
            _message(11, _rows("input")),
            _message(12, _rows("out")),
        ]
    )
    return _number(1, 8) + _message(7, graph) + _message(8, _number(2, 13))


def _rows(name: str) -> bytes:
    shape = _message(1, _text(2, "n")) + _message(1, _number(1, 4))
    tensor = _number(1, _FLOAT) + _message(2, shape)
    return _text(1, name) + _message(2, _message(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
