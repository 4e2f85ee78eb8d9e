"""The event filter language: one syntax for metrics, exporters, logs and live tails."""
