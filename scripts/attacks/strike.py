"""One attack as a process of its own, so that its memory and processor time are not others'.

Run as ``python -m scripts.attacks.strike NAME``, with a ``Where`` as the first line of standard
input. Says ``ready`` when it is prepared, strikes from the next line on for as many seconds as it
was given, and prints its counts and findings as one JSON object.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress

from scripts.attacks.catalogue import attack_named
from scripts.attacks.controller import Where
from scripts.attacks.field import Enough, Field, raise_file_limit

PREPARE_S = 180.0
NICE = 19  # attackers are other machines: they take no processor time from their victim


async def _main(name: str) -> None:
    field = Field(Where(**json.loads(sys.stdin.readline())))
    with suppress(TimeoutError):
        async with asyncio.timeout(PREPARE_S) as field.timeout:
            with suppress(Enough, ExceptionGroup):
                await attack_named(name).strike(field)
            if not field.struck:
                raise RuntimeError(f"{name} has not struck")
            await asyncio.Event().wait()
    told = {"struck": field.struck, "found": field.found, "notes": field.notes}
    print(json.dumps(told), flush=True)
    os._exit(0)  # thousands of sockets need not be closed politely


if __name__ == "__main__":
    os.nice(NICE)
    raise_file_limit()
    asyncio.run(_main(sys.argv[1]))
