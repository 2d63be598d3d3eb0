"""The shell around the core: mailboxes, outbox, sessions, jobs. Knows ports, never adapters."""
