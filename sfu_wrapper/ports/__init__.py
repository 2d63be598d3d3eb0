"""The outside as protocols: what ``service`` needs and ``adapters`` give."""
