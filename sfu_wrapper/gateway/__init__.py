"""The WebSocket floor: frames, sessions, authentication, limits. Never adapters."""
