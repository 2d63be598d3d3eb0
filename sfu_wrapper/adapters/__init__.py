"""The outside for real, and its shipped fakes. Adapters decide nothing."""
