"""The console: rooms, recordings and operations in a browser, served at ``/`` (console.md)."""
