"""The event catalogue: one module per family, one module attribute per event."""
