"""Commands: parse, call one function, map errors to exit codes. Only here are adapters built."""
