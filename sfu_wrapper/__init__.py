"""The recording side of a WebRTC calling platform."""

__version__ = "0.1.0"
