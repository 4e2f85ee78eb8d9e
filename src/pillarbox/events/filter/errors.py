"""The one error of the filter language: where it stands and what would have been right."""

from __future__ import annotations


class FilterError(ValueError):
    """A filter is no filter.  ``column`` counts from 1; ``expected`` is what could stand there."""

    def __init__(self, text: str, column: int, expected: str, found: str) -> None:
        super().__init__(f"column {column}: expected {expected}, found {found}")
        self.text = text
        self.column = column
        self.expected = expected
        self.found = found

    def pointer(self) -> str:
        """The filter with a caret below the column, for terminals."""
        return f"{self.text}\n{' ' * (self.column - 1)}^ {self}"
