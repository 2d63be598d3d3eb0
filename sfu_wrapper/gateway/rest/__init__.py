"""The HTTP interface (http.md)."""
