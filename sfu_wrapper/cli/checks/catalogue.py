"""Registry of the checks, in the order of the report. Append new ones here."""

from typing import Final

from sfu_wrapper.cli.checks import (
    asterisk,
    broker,
    callpage,
    confinement,
    database,
    encryption,
    folders,
    janus,
    media,
    tokens,
    tools,
    values,
)
from sfu_wrapper.cli.checks.report import Check

CHECKS: Final = (
    Check("tools", tools.look),
    Check("configuration", values.look),
    Check("tokens", tokens.look),
    Check("database", database.look),
    Check("broker", broker.look),
    Check("media", media.look),
    Check("janus", janus.look),
    Check("asterisk", asterisk.look),
    Check("callpage", callpage.look),
    Check("folders", folders.look),
    Check("encryption", encryption.look),
    Check("confinement", confinement.look),
)
