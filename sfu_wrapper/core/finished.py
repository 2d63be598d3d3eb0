"""Finished files of a recording as they are offered: public names, places, media types. Pure.

The public name of a file is the last component of its path: the files of one recording are in one
folder, so the name is unique among them, and no name ever holds a slash. Its place is relative to
the destination, because the worker and the controller may have mounted that at different paths.
Source: recording-index.md, "Files".
"""

from typing import Final

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.recording import Recording, RecordingState
from sfu_wrapper.model.segment import FinishedFile, Processed

ENCRYPTED_SUFFIX: Final = ".gpg"
_ENCRYPTED_TYPE: Final = "application/pgp-encrypted"
_OTHER_TYPE: Final = "application/octet-stream"
_TYPES: Final = {
    ".webm": "video/webm",
    ".mp4": "video/mp4",
    ".wav": "audio/wav",
    ".opus": "audio/ogg",
    ".json": "application/json",
    ".jpg": "image/jpeg",
}


def known_files(recording: Recording) -> tuple[FinishedFile, ...]:
    """Return the finished files of a recording, also those that are deleted by now.

    Of an encrypted recording only encrypted files count, whatever a message says.
    """
    result = recording.outcome
    if not isinstance(result, Processed):
        return ()
    if result.encrypted:
        return tuple(file for file in result.files if is_encrypted(file))
    return result.files


def offered_files(recording: Recording) -> tuple[FinishedFile, ...]:
    """Return the finished files that can be read now.

    A requested deletion counts as done: a worker may remove the files at any time.
    """
    gone = recording.deletion is not None or recording.state is RecordingState.DELETED
    return () if gone else known_files(recording)


def offered_file(recording: Recording, name: str) -> FinishedFile:
    """Return the file of that public name. Raises Refused: NOT_FOUND."""
    for file in offered_files(recording):
        if public_name(file) == name:
            return file
    raise Refused(Code.NOT_FOUND, "file not found", recording=str(recording.key), name=name)


def public_name(file: FinishedFile) -> str:
    """Return the name under which a file is offered."""
    return file.filename.rpartition("/")[2]


def place_below(result: Processed, file: FinishedFile) -> str:
    """Return the path of a file relative to the destination: split output has a folder."""
    parts = file.filename.split("/")
    return "/".join(parts[-2:] if result.output == "split" else parts[-1:])


def uploaded_names(result: Processed) -> tuple[str, ...]:
    """Return the names of the files that are in an object store, below its folder."""
    return tuple(place_below(result, file) for file in result.files if file.url is not None)


def is_encrypted(file: FinishedFile) -> bool:
    """Return True if the name says that the content is encrypted."""
    return file.filename.endswith(ENCRYPTED_SUFFIX)


def media_type(name: str) -> str:
    """Return the media type of a finished file by its name."""
    if name.endswith(ENCRYPTED_SUFFIX):
        return _ENCRYPTED_TYPE
    return _TYPES.get(f".{name.rpartition('.')[2].lower()}", _OTHER_TYPE)
