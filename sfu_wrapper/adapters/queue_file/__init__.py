"""The embedded broker: durable queues in a database file, for the processes of one machine."""
