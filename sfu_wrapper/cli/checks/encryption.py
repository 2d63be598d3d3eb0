"""Check of the encryption key, where finished files are to be encrypted."""

from collections.abc import AsyncIterator

from sfu_wrapper.app.worker import vault
from sfu_wrapper.cli.checks.report import Finding, good, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import JobFailed


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Test the key as the worker does, without encrypting anything."""
    encrypting = vault(settings.recording, settings.worker.confinement)
    if encrypting is None:
        yield good("finished files are not encrypted (should_encrypt = false)")
        return
    recording = settings.recording
    try:
        await encrypting.check()
    except JobFailed as error:
        advice = "set encryption_key and encryption_mail: workers require a usable key to start"
        yield wrong(f"{error.code}: {error.detail}", advice)
    else:
        yield good(f"{recording.encryption_key} can encrypt to {recording.encryption_mail}")
