"""Every transcript of the folder, fed whole, byte by byte and in random splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "transcripts"
NAMES = sorted(path.stem for path in HERE.glob("*.txt"))


@pytest.mark.parametrize("mode", ["whole", "bytes", "splits"])
@pytest.mark.parametrize("name", NAMES)
def test_transcript(name: str, mode: str, imap: Callable[..., None]) -> None:
    text = (HERE / f"{name}.txt").read_text("utf-8")

    async def play(server: object) -> None:
        await server.talk(text)  # type: ignore[attr-defined]

    imap(play, mode=mode)
