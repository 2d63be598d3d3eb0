"""Asterisk's ConfBridge over its manager interface (AMI)."""
