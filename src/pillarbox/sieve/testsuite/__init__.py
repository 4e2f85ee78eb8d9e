"""Running tests that are written in Sieve."""
