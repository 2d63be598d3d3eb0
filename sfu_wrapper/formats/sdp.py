"""Session descriptions of browsers (RFC 8866), rewritten to the subset that an SFU needs.

An SFU is written in C and trusts its input: a malformed description has hung the VideoRoom of a
Janus 1.1.2 permanently, and all calls in it. So a description is never passed on but rebuilt from
lines of known shapes with numbers within their limits. Unknown attributes are left out; a malformed
known one, and anything except one stream of the wanted medium, is refused. ICE candidates have the
same shape in a description and alone.
"""

import re
from collections.abc import Iterator
from typing import Final

MAX_LINES: Final = 500
_FOLDED = re.ASCII | re.IGNORECASE  # of digits and letters only those of ASCII
_BREAK = re.compile(r"\r\n|\n")
_WORD = r"[A-Za-z0-9._+/=-]"
_HOST = r"[A-Za-z0-9.:-]{1,253}"

CANDIDATE = re.compile(
    r"candidate:[A-Za-z0-9+/]{1,32} (?P<u8>\d{1,3}) (?:udp|tcp) (?P<u32>\d{1,10}) "
    rf"{_HOST} (?P<port>\d{{1,5}}) typ (?:host|srflx|prflx|relay)"
    rf"(?: (?:raddr {_HOST}|rport \d{{1,5}}|tcptype [a-z]{{2,8}}|generation \d{{1,5}}"
    r"|ufrag [A-Za-z0-9+/]{1,256}|network-(?:id|cost) \d{1,5})){0,8}",
    _FOLDED,
)
_BEGINNING = tuple(
    re.compile(each, re.ASCII)
    for each in (
        r"v=0",
        rf"o={_WORD}{{1,64}} \d{{1,20}} \d{{1,20}} IN IP[46] {_HOST}",
        r"s=[A-Za-z0-9 ._-]{1,64}",
        r"t=0 0",
    )
)
_CONNECTION = re.compile(rf"c=IN IP[46] {_HOST}|b=(?:AS|TIAS):\d{{1,9}}", re.ASCII)
_FLAGS = frozenset(
    {"sendrecv", "sendonly", "recvonly", "inactive", "rtcp-mux", "rtcp-rsize", "end-of-candidates"}
)
# Names of groups say what a number may be at most.
_LIMITS = {"u8": 255, "payload": 127, "port": 65_535, "u32": 2**32 - 1}
_VALUES = {
    name: re.compile(shape, _FOLDED)
    for name, shape in {
        "group": r"BUNDLE(?: [A-Za-z0-9_-]{1,16}){1,8}",
        "mid": r"[A-Za-z0-9_-]{1,16}",
        "msid": r"[A-Za-z0-9{}_+/=-]{1,128}(?: [A-Za-z0-9{}_+/=-]{1,128})?",
        "setup": r"actpass|active|passive",
        "ice-ufrag": r"[A-Za-z0-9+/]{4,256}",
        "ice-pwd": r"[A-Za-z0-9+/]{22,256}",
        "ice-options": r"[a-z0-9 -]{1,64}",
        "fingerprint": r"sha-256 (?:[0-9A-F]{2}:){31}[0-9A-F]{2}",
        "rtcp": rf"(?P<port>\d{{1,5}})(?: IN IP[46] {_HOST})?",
        "extmap": r"(?P<u8>[1-9]\d{0,2})(?:/(?:send|recv)only|/sendrecv|/inactive)? [!-~]{1,128}",
        "rtpmap": rf"(?P<payload>\d{{1,3}}) {_WORD}{{1,32}}",
        "rtcp-fb": r"(?:\*|(?P<payload>\d{1,3})) [a-z0-9 -]{1,64}",
        "fmtp": r"(?P<payload>\d{1,3}) [A-Za-z0-9=;:,/ ._+-]{1,512}",
        "ssrc": r"(?P<u32>\d{1,10}) (?:cname|msid|mslabel|label):[A-Za-z0-9 {}_+/=-]{1,256}",
        "ssrc-group": r"FID (?P<u32_a>\d{1,10}) (?P<u32_b>\d{1,10})",
        "ptime": r"\d{1,4}",
        "maxptime": r"\d{1,4}",
    }.items()
}


def plain_candidate(text: str) -> str:
    """Return the candidate if it is well formed. Raises ValueError."""
    _check(CANDIDATE, text, "candidate")
    return text


def plain_description(text: str, medium: str) -> str:
    """Return a rewritten description of one stream of ``medium`` (``audio``, ``video``).

    Raises:
        ValueError: malformed, or not such a description; the text names the fault.
    """
    text = text.rstrip("\r\n")
    if text.count("\n") >= MAX_LINES:
        raise ValueError(f"more than {MAX_LINES} lines")
    lines = _BREAK.split(text)
    return "".join(f"{line}\r\n" for line in _plain(lines, medium))


def _plain(lines: list[str], medium: str) -> Iterator[str]:
    if len(lines) <= len(_BEGINNING):
        raise ValueError("no session description")
    for shape, line in zip(_BEGINNING, lines, strict=False):
        _check(shape, line, line[:2])
        yield line
    described = 0
    for line in lines[len(_BEGINNING) :]:
        if line.startswith("a="):
            if _keeps(line[2:]):
                yield line
            continue
        if line.startswith("m="):
            described += 1
            _check(_media(medium), line, "m=")
        else:
            _check(_CONNECTION, line, line[:2])
        yield line
    if described != 1:
        raise ValueError(f"it must describe one {medium} stream")


def _media(medium: str) -> re.Pattern[str]:
    formats = r"(?: (?:\d|[1-9]\d|1[01]\d|12[0-7])){1,64}"
    return re.compile(rf"m={medium} (?P<port>\d{{1,5}}) UDP/TLS/RTP/SAVPF{formats}", re.ASCII)


def _keeps(attribute: str) -> bool:
    """Return True for a known attribute to pass on. Raises ValueError for a malformed one."""
    name, colon, value = attribute.partition(":")
    if not colon:
        return name in _FLAGS
    if name == "candidate":
        plain_candidate(attribute)
        return True
    shape = _VALUES.get(name)
    if shape is None or (name == "fingerprint" and not value.lower().startswith("sha-256 ")):
        return False  # of several fingerprints Janus wants this one
    _check(shape, value, f"a={name}")
    return True


def _check(shape: re.Pattern[str], text: str, what: str) -> None:
    found = shape.fullmatch(text)
    if found is None or not all(_within(*each) for each in found.groupdict().items()):
        shown = what if what.isascii() and what.isprintable() else "a line"
        raise ValueError(f"{shown} is not well formed")


def _within(name: str, number: str | None) -> bool:
    return number is None or int(number) <= _LIMITS[name.partition("_")[0]]
