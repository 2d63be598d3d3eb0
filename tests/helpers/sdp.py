"""Session descriptions, as short as they may be."""


def sdp(*media: str) -> str:
    """One that describes these media."""
    beginning = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    return beginning + "".join(f"m={each} 9 UDP/TLS/RTP/SAVPF 96\r\n" for each in media)


VIDEO_SDP = sdp("video")
AUDIO_SDP = sdp("audio")
