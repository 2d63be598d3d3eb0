"""Sequence headers of split AV1 files, changed to declare the spatial layers that are there.

A sender in layers declares all of them, and leaves out the largest where its uplink is slow. A
decoder with one thread, as ours, then shows the largest that came. One with several threads, as
those of browsers, waits for the declared one: it shows nothing, or the last large frame. The layers
are counted from one key frame to the next, since only there the header can change.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av

from sfu_wrapper.adapters.media.demux import reading
from sfu_wrapper.formats import av1

if TYPE_CHECKING:
    Packet = av.Packet[av.VideoStream]


def with_true_layers(source: Path, packets: Iterator["Packet"]) -> Iterator["Packet"]:
    """Pass the packets of a file on; sequence headers declare only layers that follow.

    Raises Malformed.

    Args:
        source: path of the file, which is read a second time.
        packets: its packets.
    """
    largest = _largest_layers(source)
    for packet in packets:
        if not packet.is_keyframe or packet.pts is None:
            yield packet
            continue
        data = av1.narrowed(bytes(packet), next(largest))
        changed = cast("Packet", av.Packet(data))
        changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
        changed.duration, changed.is_keyframe = packet.duration, True
        yield changed


def _largest_layers(source: Path) -> Iterator[int]:
    """Yield, for each key frame of an AV1 file, the largest spatial layer up to the next one."""
    largest: int | None = None
    with reading(source) as reader:
        for packet in reader.demux(video=0):
            if packet.is_keyframe and packet.pts is not None:
                if largest is not None:
                    yield largest
                largest = 0
            if largest is not None:
                largest = max(largest, av1.largest_layer(bytes(packet)))
        if largest is not None:
            yield largest
