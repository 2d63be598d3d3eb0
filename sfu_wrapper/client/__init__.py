"""Client of the WebSocket protocol (client.md).

``connect`` opens a connection of one user, ``connect_gateway`` one that carries many.
"""

from sfu_wrapper.client.client import (
    Client,
    ClientEvent,
    ClientOptions,
    EventsLost,
    PlaceLost,
    Resumed,
)
from sfu_wrapper.client.connection import RequestRefused, Token
from sfu_wrapper.client.open import Gateway, connect, connect_gateway
from sfu_wrapper.client.room import Room

__all__ = [
    "Client",
    "ClientEvent",
    "ClientOptions",
    "EventsLost",
    "Gateway",
    "PlaceLost",
    "RequestRefused",
    "Resumed",
    "Room",
    "Token",
    "connect",
    "connect_gateway",
]
