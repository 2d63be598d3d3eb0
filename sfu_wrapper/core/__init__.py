"""The decisions, pure: no I/O, no clock, no randomness, no logging."""
