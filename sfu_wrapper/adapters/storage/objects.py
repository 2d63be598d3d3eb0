"""Object storage through ``obstore``: S3 and what speaks it, Google Cloud Storage, Azure.

The blocking functions of the library are called in our own threads, with a deadline. With its
asynchronous ones, version 0.12.1 could abort the interpreter at the end of the process.

Content is checked against the ``ETag``, which for most stores is the MD5 of the object, or of the
MD5s of its parts. Where it is something else (encryption with keys of a key service, Azure, Google)
the object is read back and its SHA-256 compared (object-storage.md, "Checks").
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from urllib.parse import quote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store

from sfu_wrapper.adapters.os.threads import BoundedThreadPool
from sfu_wrapper.core.finished import media_type
from sfu_wrapper.model.errors import Misconfigured, Unavailable
from sfu_wrapper.ports.storage import Measured

if TYPE_CHECKING:  # the library has them in its stubs alone
    from obstore import HTTP_METHOD, Attributes
    from obstore.store import ClientConfig, RetryConfig

MULTIPART_BYTES: Final = 16 << 20  # longest file that is uploaded in one request
_PART_BYTES: Final = 8 << 20
_MOST_PARTS: Final = 9_000  # S3 has 10,000 at most
_PARTS_AT_ONCE: Final = 2
_THREADS: Final = 32  # those of a store that hangs stay in use for up to _REQUEST_S
_ANSWER_S: Final = 30.0  # for a request without content, repeats included
_SLOWEST_BYTES_PER_S: Final = 50_000  # of an upload that does not fail at its deadline
_REQUEST_S: Final = _PARTS_AT_ONCE * _PART_BYTES // _SLOWEST_BYTES_PER_S  # content included
_CHUNK_BYTES: Final = 1 << 20
_PROBE: Final = ".sfu-wrapper-probe"
_DETAIL: Final = 300  # characters of an error of the library

Params = ParamSpec("Params")
Result = TypeVar("Result")


def open_store(url: str, endpoint_url: str | None, secrets: Mapping[str, str]) -> "ObstoreObjects":
    """Return the object store of an address.

    Args:
        url: ``s3://``, ``gs://`` or ``az://``, a bucket or container, and perhaps a folder.
        endpoint_url: address of a store of the same kind elsewhere; None: the provider's own.
        secrets: further settings under the library's names, such as ``aws_secret_access_key``.
            What is missing there comes from the environment.

    Raises:
        Misconfigured: the credentials are incomplete, or the library refuses the address.
    """
    kind, endpoint_key = _KINDS[urlsplit(url).scheme]
    config: Any = dict(secrets)  # the library checks the names
    if endpoint_url is not None:
        config[endpoint_key] = endpoint_url
    options: ClientConfig = {
        "allow_http": (endpoint_url or "").startswith("http://"),
        "connect_timeout": "10s",
        "timeout": f"{_REQUEST_S}s",
    }
    retry: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=60)}
    address = url.rstrip("/")
    try:
        store = kind.from_url(address, config=config, client_options=options, retry_config=retry)
    except BaseError as error:
        raise Misconfigured(f"storage.url {url}: {_first_line(error)}") from None
    return ObstoreObjects(address, store)


_KINDS: Final[Mapping[str, tuple[type[S3Store | GCSStore | AzureStore], str]]] = {
    "s3": (S3Store, "aws_endpoint_url"),
    "gs": (GCSStore, "google_base_url"),
    "az": (AzureStore, "azure_endpoint"),
}


class ObstoreObjects:
    """``ObjectStore`` on a store of ``obstore``.

    Args:
        url: address of the bucket with its folder.
        store: store of the library, which has the folder as its prefix.
    """

    def __init__(self, url: str, store: S3Store | GCSStore | AzureStore) -> None:
        self.url = url
        self._store = store
        self._pool = BoundedThreadPool(_THREADS)

    async def upload(self, file: Path, name: str, content: Measured) -> None:
        """See the port."""
        within_s = _ANSWER_S + content.size_bytes / _SLOWEST_BYTES_PER_S
        await self._run(within_s, self._upload, file, name, content)

    async def size(self, name: str) -> int | None:
        """See the port."""
        return await self._run(_ANSWER_S, self._size, name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See the port."""
        within_s = _ANSWER_S + length / _SLOWEST_BYTES_PER_S
        return await self._run(within_s, self._read, name, offset, length)

    async def address(self, name: str, seconds: int, *, head: bool = False) -> str:
        """See the port."""
        return await self._run(_ANSWER_S, self._address, name, seconds, head)

    async def remove(self, names: Sequence[str]) -> None:
        """See the port."""
        for name in names:
            await self._run(_ANSWER_S, self._remove, name)

    async def check(self) -> None:
        """See the port."""
        await self._run(_ANSWER_S, self._check)

    async def _run(
        self,
        within_s: float,
        work: Callable[Params, Result],
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> Result:
        """Run a request in a thread. Raises Unavailable for what the store refuses or never does.

        ``FileNotFoundError`` of a local file passes through.
        """
        try:
            return await self._pool.run(within_s, work, *args, **kwargs)
        except TimeoutError:
            detail = f"{self.url}: no answer within {within_s:.0f} s"
            raise Unavailable(detail) from None

    def _upload(self, file: Path, name: str, content: Measured) -> None:
        length = file.stat().st_size
        if length != content.size_bytes:
            raise FileNotFoundError(f"{file} has {length} bytes, not {content.size_bytes}")
        if self._holds(file, name, content):
            return
        with self._errors():
            obstore.put(
                self._store,
                name,
                file,
                attributes=_attributes(name),
                use_multipart=length > MULTIPART_BYTES,
                chunk_size=part_bytes(length),
                max_concurrency=_PARTS_AT_ONCE,
            )
        if not self._holds(file, name, content):
            raise Unavailable(f"{self.url}/{name}: the store has other content than {file}")

    def _holds(self, file: Path, name: str, content: Measured) -> bool:
        """Return True if the store has the content of a file under that name."""
        with self._errors():
            try:
                found = obstore.head(self._store, name)
            except FileNotFoundError:
                return False
            if found["size"] != content.size_bytes:
                return False
            tag = (found["e_tag"] or "").strip('"')
            return tag == _expected_tag(file, tag) or self._digest(name) == content.sha256

    def _digest(self, name: str) -> str:
        """Return the SHA-256 (hex) of an object, which is read whole."""
        digest = hashlib.sha256()
        for chunk in obstore.get(self._store, name).stream(min_chunk_size=_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def _size(self, name: str) -> int | None:
        with self._errors():
            try:
                return obstore.head(self._store, name)["size"]
            except FileNotFoundError:
                return None

    def _read(self, name: str, offset: int, length: int) -> bytes:
        with self._errors():
            return bytes(obstore.get_range(self._store, name, start=offset, length=length))

    def _address(self, name: str, seconds: int, head: bool) -> str:
        method: HTTP_METHOD = "HEAD" if head else "GET"
        with self._errors():
            return obstore.sign(self._store, method, name, timedelta(seconds=seconds))

    def _remove(self, name: str) -> None:
        with self._errors():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:  # S3 does not say so, Google and Azure do
                return

    def _check(self) -> None:
        with self._errors():
            obstore.put(self._store, _PROBE, b"sfu-wrapper")
            obstore.head(self._store, _PROBE)
            obstore.delete(self._store, _PROBE)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert what the store refuses, or fails at, into Unavailable."""
        try:
            yield
        except FileNotFoundError as error:  # of a write: no object was asked for
            detail = f"{self.url}: the bucket is not there: {_first_line(error)}"
            raise Unavailable(detail) from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            detail = f"{self.url}: the store refuses these credentials: {_first_line(error)}"
            raise Unavailable(detail) from None
        except (BaseError, OSError) as error:
            raise Unavailable(f"{self.url}: {_first_line(error)}") from None


def part_bytes(length: int) -> int:
    """Return the length of the parts in which a file of that length is uploaded."""
    return max(_PART_BYTES, -(-length // _MOST_PARTS))


def _expected_tag(file: Path, tag: str) -> str:
    """Return the ETag of a file's content, uploaded at once or in parts as ``tag`` tells."""
    length = file.stat().st_size
    in_parts = "-" in tag
    step = part_bytes(length) if in_parts else length
    with file.open("rb") as opened:
        parts = range(0, max(length, 1), max(step, 1))
        digests = [_md5(opened.read(n) for n in _pieces(step)) for _ in parts]
    if not in_parts:
        return digests[0].hex()
    return f"{_md5(digests).hex()}-{len(digests)}"


def _pieces(length: int) -> Iterator[int]:
    """Yield the lengths in which so many bytes are read."""
    for start in range(0, length, _CHUNK_BYTES):
        yield min(_CHUNK_BYTES, length - start)


def _md5(chunks: Iterator[bytes] | Sequence[bytes]) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def _attributes(name: str) -> "Attributes":
    """Return the headers with which the store answers a reader of the object."""
    last = name.rpartition("/")[2]
    disposition = f"attachment; filename*=UTF-8''{quote(last, safe='')}"
    return {"Content-Type": media_type(last), "Content-Disposition": disposition}


def _first_line(error: Exception) -> str:
    """Return the message of an error of the library, which goes on with a debugging dump."""
    return (str(error).splitlines() or [type(error).__name__])[0][:_DETAIL]
