"""Embedded store on SQLite, and the parts shared by all our database files."""
