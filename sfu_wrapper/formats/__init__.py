"""Byte formats, pure: ``.mjr``, RTP, SDP, WAV. Any input gives a result or a typed error."""
