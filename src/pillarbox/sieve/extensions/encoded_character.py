"""encoded-character (RFC 5228 section 2.4.2.4): ``${hex:24}`` and ``${unicode:20AC}`` in strings.

The decoding itself belongs to all strings of a script and is in `strings`; requiring the
capability turns it on.
"""

from __future__ import annotations

from pillarbox.sieve.registry import Extension

EXTENSION = Extension("encoded-character")
