"""Doors of the operating system: files below a folder, and confinement of processes."""
