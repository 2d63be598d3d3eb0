"""The HTTP interface (cli.md, "HTTP")."""
