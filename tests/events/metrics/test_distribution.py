"""Distributions against the plain formulas."""

from __future__ import annotations

import math
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.events.metrics.distribution import WIDTHS, Distribution, bucket_of
from pillarbox.events.metrics.openmetrics import DURATION_BOUNDS

values = st.lists(st.integers(-1000, 10**9), min_size=1, max_size=300)


def of(numbers: list[int]) -> Distribution:
    distribution = Distribution()
    distribution.add_all(numbers)
    return distribution


@given(values)
def test_exact_figures(numbers: list[int]) -> None:
    seen = of(numbers)
    assert (seen.count, seen.sum) == (len(numbers), sum(numbers))
    assert (seen.minimum, seen.maximum) == (min(numbers), max(numbers))
    assert seen.average == pytest.approx(statistics.fmean(numbers))
    assert sum(seen.buckets.values()) == seen.count


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=100))
def test_stddev(numbers: list[int]) -> None:
    assert of(numbers).stddev == pytest.approx(statistics.pstdev(numbers), rel=1e-3, abs=0.5)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=200), st.floats(0, 100))
def test_percentiles_are_near(numbers: list[int], percent: float) -> None:
    exact = sorted(numbers)[max(1, math.ceil(len(numbers) * percent / 100)) - 1]
    assert exact <= of(numbers).percentile(percent) <= exact * 1.04 + 1


@given(values, values)
def test_merging_is_adding(left: list[int], right: list[int]) -> None:
    merged = of(left)
    merged.merge(of(right))
    both = of(left + right)
    assert merged.buckets == both.buckets
    assert (merged.sum, merged.minimum, merged.maximum) == (both.sum, both.minimum, both.maximum)
    assert merged.percentile(90) == both.percentile(90)


@given(st.integers(1, 10**15))
def test_buckets_are_narrow(value: int) -> None:
    bound = bucket_of(value)
    assert value <= bound <= value + value / 32 + 1


@given(st.lists(st.integers(0, 10**8), max_size=100))
def test_histogram_bounds_are_exact(numbers: list[int]) -> None:
    counted = of(numbers).cumulative(DURATION_BOUNDS)
    assert counted == [sum(n <= bound for n in numbers) for bound in DURATION_BOUNDS]


def test_histogram_bounds_are_bucket_bounds() -> None:
    assert all(bound % WIDTHS[bound.bit_length()] == 0 for bound in DURATION_BOUNDS)


def test_nothing_seen() -> None:
    empty = Distribution()
    assert (empty.average, empty.stddev, empty.median) == (0, 0, 0)
    empty.merge(Distribution())
    other = of([5])
    other.merge(empty)
    empty.merge(other)
    assert empty == other


def test_huge_values_survive() -> None:
    seen = of([10**300, 1, -(10**20)])
    assert seen.maximum == 10**300
    assert msgspec.json.decode(msgspec.json.encode(of([1, 2, 3])), type=Distribution) == of(
        [1, 2, 3]
    )
