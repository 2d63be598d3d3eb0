"""The embedded store on SQLite, and what every database file of ours has in common."""
