"""Data that crosses the process border, as pydantic models; camelCase exists only here."""
