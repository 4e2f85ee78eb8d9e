"""Messages over a stream: a four-byte big-endian length and that many bytes of MessagePack.

What processes of one server say to each other (master and children, anvil, handoff) travels so.
Both ends are ours, but a broken or hostile one must not exhaust the other: a frame that announces
more than the reader's limit raises `FrameTooLong` before anything is buffered for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

MAX_FRAME: Final = 16 * 1024 * 1024
_encoder: Final = msgspec.msgpack.Encoder()


class FrameTooLong(Exception):
    """The other end announced a frame that is longer than allowed."""


def encode_frame(message: object) -> bytes:
    """The frame of one message: anything that msgspec can turn into MessagePack."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


class FrameReader(Generic[T]):
    """Collects bytes and gives the messages of type T that are complete."""

    __slots__ = ("_buffer", "_decoder", "_limit")

    def __init__(self, message_type: type[T], limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(message_type)
        self._limit = limit

    def feed(self, data: bytes) -> Iterator[T]:
        """Take bytes; yields each message that they complete.

        Raises FrameTooLong, or msgspec.DecodeError for what is not a message of type T.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            length = int.from_bytes(buffer[:4], "big")
            if length > self._limit:
                raise FrameTooLong(f"frame of {length} bytes, limit {self._limit}")
            if len(buffer) < 4 + length:
                return
            body = bytes(buffer[4 : 4 + length])
            del buffer[: 4 + length]
            yield self._decoder.decode(body)
