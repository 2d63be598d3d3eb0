"""Composition root: builds adapters, services and listeners from the configuration."""
