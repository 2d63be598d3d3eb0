"""The attacks: a name, the threat that each tries, what health has to say meanwhile.

Threats are the rows S1, S2 … of attacks.md, "Threats"; a test compares the two.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from scripts.attacks import clients, crowds, gateways, http, oracle, strangers
from scripts.attacks.field import Field

NOBODY = "amqp://127.0.0.1:9/"  # the discard port, at which no broker listens

MANY_SEGMENTS = {"QUOTAS__SEGMENTS_PER_MINUTE": "0"}  # else they could not be prepared


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        threat: entry of attacks.md, "Threats".
        growth_mib: memory that the controller may take beyond what it had before.
        algorithm: signature of tokens.
        settings: configuration that the attack needs, ``SECTION__KEY``.
        degraded: parts that health has to call unavailable meanwhile; none: health is ``ok``.
    """

    name: str
    threat: str
    strike: Callable[[Field], Awaitable[None]]
    growth_mib: int = 64
    algorithm: Literal["HS256", "RS256"] = "HS256"
    settings: Mapping[str, str] = field(default_factory=dict)
    degraded: frozenset[str] = frozenset()

    @property
    def meaning(self) -> str:
        """First line of what it does."""
        return (self.strike.__doc__ or "").strip().splitlines()[0]


ATTACKS: tuple[Attack, ...] = (
    Attack("big-frames-25", "S1", strangers.big_frames_25),
    Attack("big-frames", "S1", strangers.big_frames),
    Attack("frames-9kb", "S1", strangers.frames_9kb),
    Attack("stranger-floods", "S1", strangers.stranger_floods),
    Attack("wrong-tokens", "S2", strangers.wrong_tokens, algorithm="RS256"),
    Attack("half-open-heads", "S3", strangers.half_open_heads),
    Attack("half-open-http", "S3", strangers.half_open_http),
    Attack("silent-sockets", "S3", strangers.silent_sockets, growth_mib=160),
    Attack("silent-http", "S3", strangers.silent_http),
    Attack("silent-websockets", "S3", strangers.silent_websockets, growth_mib=96),
    Attack("slow-handshakes", "S3", strangers.slow_handshakes),
    Attack("upgrades", "S3", strangers.upgrades),
    Attack("pings", "S4", strangers.pings),
    Attack("fragments", "S4", strangers.fragments),
    Attack("media-sockets", "S1", strangers.media_sockets),
    Attack("one-socket", "S5", clients.one_socket),
    Attack("hundred-sockets", "S5", clients.hundred_sockets),
    Attack("hundred-users", "S5", clients.hundred_users),
    Attack("big-frames-token", "S5", clients.big_frames_token),
    Attack("unknown-endpoints", "S5", clients.unknown_endpoints),
    Attack("strange-json", "S5", clients.strange_json),
    Attack("huge-lists", "S6", clients.huge_lists),
    Attack("create-rooms", "S6", clients.create_rooms),
    Attack("invite-many", "S6", clients.invite_many),
    Attack("start-stop", "S6", clients.start_stop),
    Attack("reused-ids", "S6", clients.reused_ids),
    Attack("reused-rooms", "S6", clients.reused_rooms),
    Attack("kept-answers", "S6", clients.kept_answers),
    Attack("watching-churn", "S7", clients.watching_churn),
    Attack("read-segments", "S7", crowds.read_segments, settings=MANY_SEGMENTS),
    Attack("toggle-segments", "S7", crowds.toggle_segments, settings=MANY_SEGMENTS),
    Attack("read-people", "S7", crowds.read_people),
    Attack("join-churn", "S7", crowds.join_churn),
    Attack("media-churn", "S7", crowds.media_churn),
    Attack("list-rooms", "S7", crowds.list_rooms),
    Attack("watchers", "S7", crowds.watchers, growth_mib=256),
    Attack("never-reading", "S8", clients.never_reading, growth_mib=256),
    Attack("slow-gateway", "S8", gateways.slow_reader, growth_mib=128),
    Attack("thousand-clients", "S9", gateways.thousand_clients),
    Attack("oversized-frames", "S9", gateways.oversized_frames),
    Attack("dear-frames", "S9", gateways.dear_frames),
    Attack("client-churn", "S9", gateways.client_churn),
    Attack("too-many-clients", "S9", gateways.too_many_clients, growth_mib=128),
    Attack("gateway-churn", "S9", gateways.gateway_churn),
    Attack("http-without-token", "S10", http.without_token),
    Attack("http-with-token", "S10", http.with_token),
    Attack("http-connections", "S10", http.connections),
    Attack("metrics", "S10", http.metrics),
    Attack("large-bodies", "S10", http.large_bodies),
    Attack("slow-bodies", "S10", http.slow_bodies),
    Attack(
        "no-oracle",
        "S12",
        oracle.no_oracle,
        settings={
            "WEBSOCKET__REQUESTS_PER_SECOND": "5000",
            "WEBSOCKET__REQUESTS_BURST": "5000",
            **MANY_SEGMENTS,
        },
    ),
    Attack(
        "start-stop-without-broker",
        "S11",
        clients.start_stop,
        settings={"RABBITMQ__ADDRESS": NOBODY},
        degraded=frozenset({"broker"}),
    ),
)


def attack_named(name: str) -> Attack:
    """Return the attack of that name. Raises KeyError."""
    return {attack.name: attack for attack in ATTACKS}[name]
