"""Answers keep the order of their commands, whenever they are ready."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.runtime.smtp_server.pipeline import Pipeline


@given(st.lists(st.booleans(), max_size=12), st.randoms(use_true_random=False))
def test_answers_keep_their_order(later: list[bool], rng: Any) -> None:
    sent: list[bytes] = []
    pipeline = Pipeline(sent.append)
    waiting = []
    for i, wait in enumerate(later):
        answer = b"%d" % i
        if wait:
            waiting.append((pipeline.reserve(), answer))
        else:
            pipeline.put(answer)
    rng.shuffle(waiting)
    for slot, answer in waiting:
        pipeline.fill(slot, answer)
    assert sent == [b"%d" % i for i in range(len(later))]
    assert len(pipeline) == 0
