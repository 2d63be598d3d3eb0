"""The controller: rooms, relay, sessions and subscriptions. Knows ports, never adapters."""
