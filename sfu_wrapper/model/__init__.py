"""Frozen, standard-library types that every floor shares. No behaviour beyond invariants."""
