"""Byte formats, pure: `.mjr`, RTP payloads, WAV. Total on any input: a result or a typed error."""
