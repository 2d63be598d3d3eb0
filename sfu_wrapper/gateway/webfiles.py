"""Files of our web pages, and what their responses share.

Every file is read once, at the start; the name in an address only selects one of these. Pages are
static except for a few values in ``<meta>``. A page may run our scripts alone: no inline code, no
text that becomes code, no embedding.
"""

import html
import re
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from sfu_wrapper.model.errors import Code, Refused

QUIET = {"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer"}

_KINDS = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "ts": "text/plain",
    "txt": "text/plain",
}
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_PORT = re.compile(r":\d{1,5}\Z")
_LOCAL = "localhost"  # where a request names no host that could stand in an address
_SOURCES = {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'"}
_RULES = {
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}


def read_files(package: str) -> dict[str, bytes]:
    """Return the files below ``static`` of a package by their path, such as ``views/rooms.js``."""
    found: dict[str, bytes] = {}
    _read_into(found, resources.files(package).joinpath("static"), "")
    return found


def _read_into(found: dict[str, bytes], folder: Traversable, path: str) -> None:
    for each in folder.iterdir():
        if each.is_dir():
            _read_into(found, each, f"{path}{each.name}/")
        elif each.name.rpartition(".")[2] in _KINDS:
            found[path + each.name] = each.read_bytes()


def asset_routes(folder: str, files: Mapping[str, bytes]) -> APIRouter:
    """Return the route of files: ``/assets/<folder>/<path>``."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"/assets/{folder}/{{name:path}}")
    async def get_asset(name: str) -> Response:
        if name not in files:
            raise Refused(Code.UNKNOWN_ENDPOINT, "unknown endpoint")
        kind = _KINDS[name.rpartition(".")[2]]
        return Response(files[name], headers=QUIET, media_type=kind)

    return router


def respond_page(
    page: str, values: Mapping[str, str], policy: Mapping[str, str], permissions: str
) -> Response:
    """Return a page with its values and its security headers.

    Args:
        page: text with a mark such as ``@now@`` for each value.
        values: texts by mark; they are escaped.
        policy: directives of the Content-Security-Policy, added to those of all pages.
        permissions: the Permissions-Policy.
    """
    for mark, value in values.items():
        page = page.replace(mark, html.escape(value))
    directives = {**_SOURCES, **policy, **_RULES}
    headers = QUIET | {
        "Content-Security-Policy": "; ".join(f"{k} {v}" for k, v in directives.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": permissions,
        "X-Frame-Options": "DENY",
    }
    return Response(page, headers=headers, media_type="text/html")


def websockets_on_same_host(request: Request, port: int) -> str:
    """Return the address of the WebSockets on the host that the browser has requested."""
    host = _PORT.sub("", request.headers.get("host", ""))
    return f"ws://{host if _HOST.fullmatch(host) else _LOCAL}:{port}"
