"""``sfu-wrapper token``: create a JWT for tests and scripts, signed with the configured key."""

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sfu_wrapper.cli import common
from sfu_wrapper.config.controller import Algorithm, Auth
from sfu_wrapper.model.errors import Malformed, Misconfigured
from sfu_wrapper.model.identity import Role
from sfu_wrapper.wire.claims import Claims, encode, read_claims
from sfu_wrapper.wire.strict_json import iso

_DEFAULT_TTL_S = 3600
_ID_ALLOWED = "1 to 128 characters of A-Z a-z 0-9 . _ @ + : -"


def add_arguments(parser: ArgumentParser) -> None:
    """Add subject, rights, lifetime and key of the token."""
    parser.add_argument("--sub", required=True, metavar="USER", help="user id")
    parser.add_argument("--domain", required=True, metavar="DOMAIN", help="the user's domain")
    parser.add_argument(
        "--role",
        action="append",
        choices=[str(role) for role in Role],
        help="may be given more than once (default: user)",
    )
    parser.add_argument(
        "--domains",
        nargs="+",
        metavar="DOMAIN",
        help="for a gateway: domains of the users it may vouch for (default: only its own)",
    )
    parser.add_argument(
        "--ttl",
        type=_seconds,
        default=_DEFAULT_TTL_S,
        metavar="S",
        help="seconds until it expires (default: %(default)s)",
    )
    parser.add_argument(
        "--private-key",
        type=Path,
        metavar="FILE",
        help="sign with this PEM key (RS256, ES256 or EdDSA) instead of auth.secret",
    )


def run(args: Namespace) -> int:
    """Print the token."""
    auth = common.configured(args).settings.auth
    claims = _claims(args, auth, int(time.time()))
    key, algorithm = _key(auth, args.private_key)
    token = encode(claims, key, algorithm)
    common.emit(args, token, token=token, expiresAt=iso(int(claims.exp * 1000)))
    return common.DONE


def _claims(args: Namespace, auth: Auth, now_s: int) -> Claims:
    payload = {
        "sub": args.sub,
        "domain": args.domain,
        "roles": args.role or [str(Role.USER)],
        "domains": args.domains,
        "iat": now_s,
        "exp": now_s + args.ttl,
        "aud": auth.audience,
        "iss": auth.issuer,
    }
    try:
        return read_claims(payload)
    except Malformed as exc:
        path = str(exc.context["path"])
        is_name = path.partition(".")[0] in ("sub", "domain", "domains")
        allowed = f": must be {_ID_ALLOWED}" if is_name else " is not allowed"
        raise Malformed(f"invalid claim: {path}{allowed}") from None


def _key(auth: Auth, private_key: Path | None) -> tuple[str | bytes, Algorithm]:
    if private_key is not None:
        return _private_key(private_key)
    if auth.secret is None:
        raise Misconfigured(
            "auth.secret is not set: no key to sign with; "
            "set SFU_WRAPPER__AUTH__SECRET or give --private-key FILE"
        )
    return auth.secret.get_secret_value(), "HS256"


def _private_key(file: Path) -> tuple[bytes, Algorithm]:
    try:
        pem = file.read_bytes()
        key = load_pem_private_key(pem, password=None)
    except (OSError, ValueError, TypeError) as exc:  # TypeError: it is protected by a password
        raise Misconfigured(f"--private-key {file}: cannot be read: {exc}") from exc
    match key:
        case RSAPrivateKey():
            return pem, "RS256"
        case EllipticCurvePrivateKey() if key.curve.name == "secp256r1":
            return pem, "ES256"
        case Ed25519PrivateKey():
            return pem, "EdDSA"
    raise Misconfigured(f"--private-key {file}: must be an RSA, P-256 or Ed25519 key")


def _seconds(text: str) -> int:
    try:
        seconds = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number of seconds") from None
    if not seconds > 0:
        raise ArgumentTypeError("must be above 0")
    return seconds
