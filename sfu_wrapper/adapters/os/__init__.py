"""The operating system: files below a folder, confinement, threads, limits, clock."""
