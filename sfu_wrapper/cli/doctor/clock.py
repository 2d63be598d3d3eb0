"""Check of the wall clock, against what this host can know of the time without asking anybody new.

The clock dates recordings, tokens and retention. Witnesses are the files of the store and of the
embedded queue, which cannot have been written in the future, and the ``Date`` header (RFC 9110) of
the key set, where one is configured. A clock that is ahead of both cannot be recognised by files.
"""

import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.http_fetch import Fetch, fetch_date
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.app.parts import store_file
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.observe.findings import Finding, ok, wrong
from sfu_wrapper.wire.strict_json import iso

TOLERANCE_S: Final = 30.0
_ADVICE: Final = "set it, and keep it right by NTP (timedatectl, chronyc tracking)"


async def check_clock(settings: Settings) -> AsyncIterator[Finding]:
    """Compare the wall clock with its witnesses."""
    now_s = time.time()
    found = await run_in_daemon_thread(_newest, store_file(settings))
    if found is not None and found[1] > now_s + TOLERANCE_S:
        file, written_s = found
        behind_s = round(written_s - now_s)
        text = f"the clock is {behind_s} s behind: {file} was written at {_iso(written_s)}"
        yield wrong(text, _ADVICE)
        return
    url = settings.auth.jwks_url
    if url is not None and (there_s := await _date_of(url)) is not None:
        off_s = round(time.time() - there_s)
        if abs(off_s) > TOLERANCE_S:
            how = "ahead of" if off_s > 0 else "behind"
            yield wrong(f"the clock is {abs(off_s)} s {how} that of {url}", _ADVICE)
            return
    yield ok(_iso(now_s))


def _newest(store: Path) -> tuple[Path, float] | None:
    """Return the file next to the store that was written last, and when, s since the epoch."""
    return max(_written(store.parent), key=lambda each: each[1], default=None)


def _written(folder: Path) -> Iterator[tuple[Path, float]]:
    try:
        for file in folder.glob("*.db*"):
            yield file, file.stat().st_mtime
    except OSError:
        return  # the check of the database says why


async def _date_of(url: str) -> float | None:
    """Return the time of a server, s since the epoch; None where it says none."""
    try:
        date = await fetch_date(Fetch(url))
    except Unavailable:
        return None  # the check of the tokens says why
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _iso(seconds: float) -> str:
    return iso(round(seconds * 1000))
