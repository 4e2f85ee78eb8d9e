"""The comparators that must be required: i;ascii-numeric and i;unicode-casemap."""

from __future__ import annotations

from pillarbox.sieve.comparators import ASCII_NUMERIC, UNICODE_CASEMAP
from pillarbox.sieve.registry import Extension

EXTENSIONS = tuple(
    Extension(comparator.capability, comparators=(comparator,))
    for comparator in (ASCII_NUMERIC, UNICODE_CASEMAP)
)
