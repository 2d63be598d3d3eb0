"""Observability: logs, metrics, health."""
