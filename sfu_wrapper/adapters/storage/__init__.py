"""Folders, disks and encryption: where raw files are read and results are delivered."""
