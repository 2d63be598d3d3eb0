"""Recordings after their calls: list, keep, delete, audit."""
