"""Metrics: counted and measured events, grouped by fields."""
