"""Simulated calls: scenarios played against a controller (simulate.md)."""
