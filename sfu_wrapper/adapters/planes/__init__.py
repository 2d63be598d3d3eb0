"""Media planes that need no server, and what every plane is built from."""
