"""Session descriptions, as short as they may be."""


def sdp(*media: str) -> str:
    """One that describes these media."""
    return "v=0\r\ns=-\r\n" + "".join(f"m={each} 9 UDP/TLS/RTP/SAVPF 96\r\n" for each in media)


PICTURES = sdp("video")
SOUND = sdp("audio")
