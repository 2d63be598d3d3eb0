"""SIGKILL of controller and worker on the way of a recording, from its stop to its deletion.

``scripts/soak`` strikes at every single call (``tests/soak/test_chain_killed_anywhere.py``).
"""

from pathlib import Path

import pytest

from tests.helpers.chain import Chain, Death, bucket_of
from tests.helpers.receivers import receiver
from tests.helpers.s3 import s3_server

DEATHS = (
    Death("serve", "QueueFile.publish/recordingInfo:1", "after"),
    Death("worker", "LocalStorage.deliver:1", "after"),
    Death("worker", "ObstoreObjects.upload:2", "before"),
    Death("worker", "QueueFile.publish/processed:1", "after"),
    Death("serve", "QueueDelivery.ack:1", "before"),
    Death("serve", "HttpSender.post:1", "after"),
    Death("serve", "QueueFile.publish/deletionRequested:1", "before"),
    Death("worker", "ObstoreObjects.remove:1", "after"),
    Death("worker", "LocalRemoval.put_mark:1", "after"),
    Death("serve", "SqliteWebhooks.record:1", "before"),
)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_recording_arrives_and_goes_although_both_die_again_and_again(
    tmp_path: Path,
) -> None:
    with s3_server() as server:
        async with receiver() as there:
            chain = Chain(tmp_path / "here", there, *bucket_of(server))
            await chain.prepare()

            died, _ = await chain.run(*DEATHS)

    assert died == len(DEATHS)
