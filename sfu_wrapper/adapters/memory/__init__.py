"""In-memory fakes of the ports: for tests, and for runs that leave nothing behind."""
