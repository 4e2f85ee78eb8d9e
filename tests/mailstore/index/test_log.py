"""The log file: header, tail word, growth, torn ends, marks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.log import (
    DATA_START,
    LogBase,
    LogDamaged,
    LogFile,
    LogMissing,
)

BASE = LogBase(bytes(16), 3, 77, 10, 20)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogFile]:
    made = LogFile.create(tmp_path / "index.log", BASE)
    yield made
    made.close()


def encoded(log: LogFile, prev: int, *modseqs: int) -> tuple[bytes, int]:
    data = b""
    for modseq in modseqs:
        transaction = tx.Transaction(modseq, 0, log.base.sequence, [tx.MoveDone(modseq)])
        data += tx.encode(transaction, prev)
        prev = transaction.crc
    return data, prev


def modseqs(log: LogFile) -> list[int]:
    return [t.modseq for _, t in log.transactions(DATA_START, log.base_crc, log.tail)]


def test_what_was_written_is_seen_by_another(log: LogFile) -> None:
    other = LogFile.open(log.path)
    assert other.base == BASE
    assert other.tail == log.tail == DATA_START
    data, _ = encoded(log, log.base_crc, 21, 22)
    log.write(data, DATA_START)
    assert other.tail == DATA_START + len(data)
    assert other.words[8] == other.tail
    assert modseqs(other) == [21, 22]
    other.close()


def test_small_logs_stay_small_and_big_ones_grow_in_big_steps(log: LogFile) -> None:
    assert log.path.stat().st_size == 4096
    log.write(b"x" * 4000, DATA_START)
    assert log.path.stat().st_size == 8192
    log.write(b"x" * 5_000_000, log.tail)
    assert log.path.stat().st_size - log.tail <= 1024 * 1024
    assert not log.beyond_tail()


def test_a_whole_transaction_beyond_the_tail_word_is_committed(log: LogFile) -> None:
    data, _ = encoded(log, log.base_crc, 21, 22, 23)
    torn = len(data) - 60
    with open(log.path, "r+b") as file:
        file.seek(DATA_START)
        file.write(data[:torn])
    assert log.beyond_tail()
    assert modseqs(log) == []
    assert log.repair_tail(DATA_START, log.base_crc)
    assert modseqs(log) == [21, 22]
    assert not log.beyond_tail()
    assert log.path.stat().st_size == log.tail
    assert not log.repair_tail(log.tail, 0)


def test_far_remains_of_a_torn_write_are_found_at_first_look(log: LogFile) -> None:
    with open(log.path, "r+b") as file:
        file.seek(3000)
        file.write(b"left over")
    assert not log.beyond_tail()
    assert not log.repair_tail(DATA_START, log.base_crc)
    assert log.path.stat().st_size == DATA_START


def test_a_shorter_file_than_its_tail_is_damaged(log: LogFile) -> None:
    data, _ = encoded(log, log.base_crc, 21, 22)
    log.write(data, DATA_START)
    with open(log.path, "r+b") as file:
        file.truncate(DATA_START + 50)
    with pytest.raises(LogDamaged, match="byte 128"):
        modseqs(log)


def test_marks(log: LogFile) -> None:
    other = LogFile.open(log.path)
    log.mark_rotated()
    assert other.rotated
    assert other.tail == DATA_START
    log.mark_deleted()
    assert other.deleted
    other.close()


def test_files_that_are_no_logs(tmp_path: Path) -> None:
    with pytest.raises(LogMissing):
        LogFile.open(tmp_path / "none")
    for content in (b"", b"x" * 127, b"x" * 5000):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(LogDamaged):
            LogFile.open(tmp_path / "bad")
