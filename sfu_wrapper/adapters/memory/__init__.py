"""In-memory implementations of the ports, for tests and for runs without files."""
