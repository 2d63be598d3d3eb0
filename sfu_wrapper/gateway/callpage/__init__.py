"""The call page: a call in a browser, served at ``/call/{room}`` (callpage.md)."""
