"""How clients are told of the recording service's work on a segment (protocol.md)."""

from pathlib import PurePosixPath
from typing import assert_never

from sfu_wrapper.model.identity import RoomId
from sfu_wrapper.model.segment import Failed, FinishedFile, JobProgress, News, Processed

Json = dict[str, object]


def processing_json(news: News) -> Json:
    """How far it is, for whoever sees the room: no file and no fault is named."""
    match news:
        case JobProgress(stage=stage, percent=percent, eta_s=eta_s):
            shown: Json = {"state": "processing", "stage": stage, "percent": percent}
            return shown if eta_s is None else shown | {"etaSeconds": eta_s}
        case Processed():
            return {"state": "processed"}
        case Failed():
            return {"state": "failed"}
    assert_never(news)


def result_json(news: News) -> Json:
    """What came of it: files or error; nothing as long as it goes on."""
    match news:
        case JobProgress():
            return {}
        case Processed(files=files):
            return {"files": [_file_json(file) for file in files]}
        case Failed(stage=stage, code=code, detail=detail):
            return {"error": {"stage": stage, "code": code, "message": detail}}
    assert_never(news)


def result_note(room: RoomId, news: Processed | Failed) -> tuple[str, Json]:
    """The name and the payload of the event."""
    done = isinstance(news, Processed)
    name = "roomRecordingProcessed" if done else "roomRecordingProcessingFailed"
    return name, {"room": room, "segment": news.segment} | result_json(news)


def _file_json(file: FinishedFile) -> Json:
    """Without its folder, which is the recording service's own business."""
    name = PurePosixPath(file.filename).name
    return {"name": name, "kind": file.kind.value, "bytes": file.size_bytes}
