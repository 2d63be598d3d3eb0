"""Embedded store and queue on SQLite."""
