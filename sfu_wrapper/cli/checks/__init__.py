"""Checks of ``sfu-wrapper doctor``: one module a subject; ``catalogue`` lists them.

To add one, write a module with ``async def look(settings) -> AsyncIterator[Finding]`` and append it
to ``catalogue.CHECKS``. A check that does not apply to the configuration yields nothing, and no
check changes the state of a peer. ``examine`` turns an exception or a timeout into the last finding
of the check.
"""
