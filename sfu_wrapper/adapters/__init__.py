"""Implementations of the ports on real software, and their in-memory fakes; no decisions."""
