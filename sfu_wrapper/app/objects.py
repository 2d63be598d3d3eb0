"""Composition of the object store, from the configuration and the credentials in the environment.

Credentials are read under the names that the providers' own tools use (``AWS_ACCESS_KEY_ID``, …).
With ``_FILE`` after its name a variable names a file that holds the value, as secrets of containers
do (object-storage.md, "Credentials").
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sfu_wrapper.config.processing import Storage
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured

if TYPE_CHECKING:
    from sfu_wrapper.adapters.storage.objects import ObstoreObjects

_FILE: Final = "_FILE"
# Others with that ending, such as AWS_SHARED_CREDENTIALS_FILE, are the providers' own.
_SECRETS: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_CLIENT_SECRET",
)
_PREFIX: Final = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}


def object_store(settings: Settings, environ: Mapping[str, str]) -> "ObstoreObjects | None":
    """Return the object store of finished files; None where they stay in ``destination_path``.

    Raises:
        Misconfigured: the credentials are incomplete, or a file of them cannot be read.
    """
    url = settings.storage.url
    if url == "file:":
        return None
    # Only here: most installations have no object store, and the library takes time to load.
    from sfu_wrapper.adapters.storage.objects import open_store

    secrets = read_secrets(_PREFIX[url.partition(":")[0]], environ)
    return open_store(url, settings.storage.endpoint_url, secrets)


def media_source(storage: Storage) -> str | None:
    """Return where browsers get finished files from, for a Content-Security-Policy; None: from us.

    Without ``storage.endpointUrl`` the provider chooses the host, by region and bucket: any host
    with https.
    """
    if storage.url == "file:":
        return None
    if storage.endpoint_url is None:
        return "https:"
    scheme, _, rest = storage.endpoint_url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def credentials(url: str) -> tuple[str, ...]:
    """Return the variables that may hold credentials for a store, the usual ones first."""
    prefix = _PREFIX[url.partition(":")[0]]
    return tuple(name for name in _SECRETS if name.startswith(prefix))


def read_secrets(prefix: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the credentials that are in files, under the names of the library.

    Args:
        prefix: first part of the variables of one provider.
        environ: variables of the process.

    Raises:
        Misconfigured: a file cannot be read, or is not named alone.
    """
    found = {}
    for name in _SECRETS:
        file = environ.get(name + _FILE)
        if file is None or not name.startswith(prefix):
            continue
        if name in environ:
            raise Misconfigured(f"${name} and ${name}{_FILE}: set only one of them")
        try:
            found[name.lower()] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise Misconfigured(f"${name}{_FILE}: {file}: cannot be read: {error}") from error
    return found
