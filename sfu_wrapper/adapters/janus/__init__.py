"""Janus: VideoRoom as the SFU, AudioBridge as the mixer."""
