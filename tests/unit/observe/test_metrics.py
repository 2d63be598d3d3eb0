"""Numbers for Prometheus."""

import pytest

from sfu_wrapper.observe.controller_metrics import ControllerMetrics
from sfu_wrapper.observe.metrics import Metrics


def lines(metrics: Metrics) -> list[str]:
    return metrics.render(None)[1].decode().splitlines()


def test_requests_are_counted_by_route_and_not_by_address() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.http("GET", "/rooms/{id}", 404, 0.002)

    counted = 'sfu_wrapper_http_requests_total{method="GET",route="/rooms/{id}",status="404"} 2.0'
    assert counted in lines(metrics)
    assert "sfu_wrapper_http_request_seconds_count 2.0" in lines(metrics)


def test_what_people_should_look_at_is_counted() -> None:
    metrics = ControllerMetrics()
    metrics.recording_missed()
    metrics.alarm()
    metrics.alarm()

    assert "sfu_wrapper_recordings_missed_total 1.0" in lines(metrics)
    assert "sfu_wrapper_alarms_total 2.0" in lines(metrics)


def test_a_watched_number_is_asked_for_when_all_are() -> None:
    rooms: list[str] = []
    metrics = Metrics()
    metrics.watch("rooms", "Rooms that live", lambda: len(rooms))
    rooms += ["a", "b"]

    assert "sfu_wrapper_rooms 2.0" in lines(metrics)
    with pytest.raises(ValueError, match="rooms"):
        metrics.watch("rooms", "again", lambda: 0)


def test_two_controllers_in_one_process_do_not_count_each_other() -> None:
    one, other = Metrics(), Metrics()
    one.alarm()

    assert "sfu_wrapper_alarms_total 0.0" in lines(other)


def test_openmetrics_is_written_for_those_who_ask_for_it() -> None:
    content_type, body = Metrics().render("application/openmetrics-text;version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
