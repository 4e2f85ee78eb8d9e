"""How whole events are written: one line each."""
