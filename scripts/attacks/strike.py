"""One attack as a process of its own, so that its memory and processor time are not others'.

Run as ``python -m scripts.attacks.strike NAME``, with a ``Where`` as the first line of standard
input. Says ``ready`` when it is prepared, strikes from the next line on for as many seconds as it
was given, and prints its counts and findings as one JSON object.
"""

import asyncio
import json
import os
import sys
import time
from asyncio import FIRST_COMPLETED

from scripts.attacks.catalogue import attack_named
from scripts.attacks.controller import Where
from scripts.attacks.field import Enough, Field, raise_file_limit

PREPARE_S = 180.0
NICE = 19  # attackers are other machines: they take no processor time from their victim


async def _main(name: str) -> None:
    field = Field(Where(**json.loads(sys.stdin.readline())))
    striking = asyncio.ensure_future(_strike(name, field))
    begun = asyncio.ensure_future(field.begun.wait())
    await asyncio.wait((striking, begun), timeout=PREPARE_S, return_when=FIRST_COMPLETED)
    if striking.done():
        striking.result()
    if not begun.done():
        raise RuntimeError(f"{name} could not be prepared in {PREPARE_S:g} s")
    until_s = time.monotonic() + field.where.seconds
    await asyncio.wait((striking,), timeout=field.where.seconds)
    if striking.done():
        striking.result()
    await asyncio.sleep(until_s - time.monotonic())
    told = {"struck": field.struck, "found": field.found, "notes": field.notes}
    print(json.dumps(told), flush=True)
    os._exit(0)  # sockets are not closed politely, and nothing is cancelled


async def _strike(name: str, field: Field) -> None:
    try:
        await attack_named(name).strike(field)
    except* Enough:
        pass


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    raise_file_limit()
    asyncio.run(_main(sys.argv[1]))
