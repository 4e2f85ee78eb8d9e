"""The stats service: metrics of all processes, exporters, live tails."""
