"""Protocols of everything outside: required by ``service``, implemented by ``adapters``."""
