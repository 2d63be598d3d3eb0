"""Everything that crosses the process border, as pydantic models: camelCase lives here alone."""
