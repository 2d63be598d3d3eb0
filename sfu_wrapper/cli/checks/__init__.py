"""What ``sfu-wrapper doctor`` looks at: a module a subject; ``catalogue`` lists them.

To add one: a module with ``async def look(settings) -> AsyncIterator[Finding]``, and a line in
``catalogue.CHECKS``. A check that the configuration does not ask for yields nothing; one that looks
at a peer leaves it as it was. What it raises, and a wait that takes too long, is the last finding
of that check (``examine``).
"""
