"""``sfu-recording.js``: the client for browsers and node, served to our pages and for others."""
