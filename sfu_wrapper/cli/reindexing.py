"""``sfu-wrapper recordings reindex``: fill the index from rooms and manifests, on the store.

Prints what was added and what was left out, and why; what the index knew is only counted. Exits
with 1 where something was left out that more arguments or a repair could bring in.
"""

import asyncio
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store_file import StoreFile
from sfu_wrapper.adapters.storage.archive import LocalArchive
from sfu_wrapper.app.recordings import stored_files
from sfu_wrapper.app.worker import folders
from sfu_wrapper.cli import common, recording_views
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.reindexing import Finding, Found, Reindexing

HELP: Final = "fill the index from the rooms in the store and the manifests of the workers"
_TEXTS: Final = {
    Finding.ADDED: "added",
    Finding.KNOWN: "in the index already",
    Finding.UPDATED: "updated: its result was missing",
    Finding.DELETED: "deleted, and of no known domain: left out",
    Finding.LOST: "left out: missing in destination_path",
    Finding.UNOWNED: "left out: its manifest names no domain; add --domain D, and --owner U",
    Finding.DAMAGED: "left out: damaged",
}
_TROUBLE: Final = (Finding.UNOWNED, Finding.DAMAGED)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--domain", metavar="D", help="domain of manifests that name none")
    owner = "owner of manifests that name none; with --domain (default: operator)"
    parser.add_argument("--owner", metavar="U", help=owner)


def reindex(
    args: Namespace,
    settings: Settings,
    store: StoreFile,
    domain: DomainId | None,
    owner: UserId | None,
) -> int:
    """Fill the index. Returns the exit code. Raises Malformed, Refused, JobFailed, Unavailable."""
    if owner is not None and domain is None:
        raise Malformed("--domain is required: users are known by their domain")
    counts = asyncio.run(_run(args, settings, store, domain, owner or recording_views.OPERATOR))
    named = {finding.value: counts[finding] for finding in Finding}
    text = ", ".join(f"{count} {name}" for name, count in named.items() if count)
    common.emit(args, text or "nothing found", **named)
    return common.FAILED if any(counts[each] for each in _TROUBLE) else common.DONE


async def _run(
    args: Namespace, settings: Settings, store: StoreFile, domain: DomainId | None, owner: UserId
) -> Counter[Finding]:
    jobs = LocalArchive(folders(settings.recording), settings.recording.logs_path)
    stored = stored_files(settings)
    committer, clock = Committer(store, lambda _: None), SystemClock()
    counts: Counter[Finding] = Counter()
    with _progress(lambda: store.count_rooms() + sum(1 for _ in jobs.manifest_names())) as bar:
        step, clear = bar
        work = Reindexing(store.index, store, jobs, stored, committer, clock, domain, owner, step)
        async for found in work.run():
            counts[found.finding] += 1
            if found.finding is not Finding.KNOWN:
                clear()
                _print(args, found)
    return counts


def _print(args: Namespace, found: Found) -> None:
    fields: dict[str, object] = {"recording": found.name, "finding": found.finding.value}
    text, of = f"{found.name}: {_TEXTS[found.finding]}", ", ".join(found.files) or found.detail
    if found.recording is not None:
        fields["state"] = found.recording.state.value
        text = f"{text}, {found.recording.state}"
    elif of:
        text = f"{text}: {of}"
    if found.files:
        fields["files"] = list(found.files)
    if found.detail is not None:
        fields["detail"] = found.detail
    common.emit(args, text, **fields)


@contextmanager
def _progress(
    count: Callable[[], int],
) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Show a bar on a terminal; yields what moves it on by one, and what erases it."""
    if not sys.stderr.isatty():
        yield (lambda: None), (lambda: None)
        return
    bar, total, done, began_s = common.ProgressBar(sys.stderr), max(count(), 1), 0, time.monotonic()

    def step() -> None:
        nonlocal done
        done += 1
        left_s = (time.monotonic() - began_s) / done * max(total - done, 0)
        bar.draw("reindex", min(100.0, 100 * done / total), left_s)

    try:
        yield step, bar.clear
    finally:
        bar.clear()
