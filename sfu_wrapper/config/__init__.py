"""Configuration: one frozen tree, read once, passed down by value."""
