"""Report of a run, as text, JSON and JUnit XML: latencies, answers, failures. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

PERCENTILES: Final = (50, 90, 99, 100)
SLOWEST: Final = 5
MAX_FAILURES: Final = 20  # printed; a broken controller fails every call in the same way

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class StepResult:
    """Outcome of one step in one call.

    Attributes:
        line: of the scenario file.
        call: number of the call.
        client: user id; empty for steps of no client.
        action: as ``Step.action``.
        took_s: time for the answer or the event, in seconds.
        code: ``ok``, an error code, or empty for steps that have no answer.
        failure: what is not as expected; empty where all is.
    """

    line: int
    call: int
    client: str
    action: str
    took_s: float
    code: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Outcome of a scenario.

    Attributes:
        file: path of the scenario.
        title: its sentence.
        seed: seed of the run.
        calls: calls that were played.
        took_s: time of the whole run, in seconds.
        results: of each step of each call.
    """

    file: str
    title: str
    seed: int
    calls: int
    took_s: float
    results: tuple[StepResult, ...]

    @property
    def failures(self) -> list[str]:
        """Return a sentence for each failed step: file, line, client, what came."""
        return [
            f"{self.file}:{each.line}: {each.client}: {each.failure}"
            for each in self.results
            if each.failure
        ]

    @property
    def passed(self) -> bool:
        """Return True where every expectation held."""
        return not self.failures

    def answers(self) -> dict[str, int]:
        """Return the number of answers by code."""
        return dict(Counter(each.code for each in self.results if each.code).most_common())

    def latencies(self) -> dict[str, tuple[int, list[float]]]:
        """Return count and percentiles in ms, by action, for those that wait for the controller."""
        times: dict[str, list[float]] = {}
        for each in self.results:
            if each.code or each.action.startswith(("event", "connect")):
                times.setdefault(each.action, []).append(each.took_s * 1000)
        return {
            action: (len(took), [percentile(took, each) for each in PERCENTILES])
            for action, took in sorted(times.items())
        }

    def slowest(self) -> list[StepResult]:
        """Return the requests that took longest."""
        timed = [each for each in self.results if each.code]
        return sorted(timed, key=lambda each: -each.took_s)[:SLOWEST]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not exceeded by ``percent`` % of the values."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def as_text(report: Report) -> str:
    """Return the report for people."""
    head = "passed" if report.passed else "FAILED"
    lines = [
        f"{head}  {report.file}: {report.title}",
        f"  {report.calls} calls, {len(report.results)} steps in {report.took_s:.1f} s, "
        f"seed {report.seed}",
    ]
    if report.calls > 1:
        lines += _table(report)
    lines += [f"  {each}" for each in report.failures[:MAX_FAILURES]]
    if (more := len(report.failures) - MAX_FAILURES) > 0:
        lines.append(f"  and {more} more failures")
    return "\n".join(lines)


def _table(report: Report) -> list[str]:
    titles = ["p50", "p90", "p99", "max"]
    lines = [f"  {'ms':<32}{'count':>7}" + "".join(f"{each:>9}" for each in titles)]
    for action, (count, times) in report.latencies().items():
        lines.append(f"  {action:<32}{count:>7}" + "".join(f"{each:>9.1f}" for each in times))
    answers = ", ".join(f"{code} {count}" for code, count in report.answers().items())
    lines.append(f"  answers: {answers}")
    for each in report.slowest():
        took = f"{each.took_s * 1000:.1f} ms"
        lines.append(f"  slow: {report.file}:{each.line}: {each.client} {each.action} {took}")
    return lines


def as_json(report: Report) -> Json:
    """Return the report for programs."""
    return {
        "file": report.file,
        "scenario": report.title,
        "passed": report.passed,
        "seed": report.seed,
        "calls": report.calls,
        "steps": len(report.results),
        "seconds": round(report.took_s, 3),
        "answers": report.answers(),
        "latencies": {
            action: {"count": count}
            | {f"p{percent}": round(ms, 3) for percent, ms in zip(PERCENTILES, times, strict=True)}
            for action, (count, times) in report.latencies().items()
        },
        "slowest": [
            {
                "line": each.line,
                "client": each.client,
                "action": each.action,
                "ms": round(each.took_s * 1000, 3),
            }
            for each in report.slowest()
        ],
        "failures": report.failures,
    }


def as_junit(reports: Sequence[Report]) -> bytes:
    """Return JUnit XML: a suite for each scenario, a case for each of its lines."""
    root = Element("testsuites")
    for report in reports:
        cases = _cases(report)
        suite = SubElement(
            root,
            "testsuite",
            name=report.title,
            tests=str(len(cases)),
            failures=str(sum(bool(failures) for _, _, failures in cases)),
            time=f"{report.took_s:.3f}",
        )
        for name, took_s, failures in cases:
            case = SubElement(
                suite, "testcase", classname=report.file, name=name, time=f"{took_s:.3f}"
            )
            for text in failures[:MAX_FAILURES]:
                SubElement(case, "failure", message=_printable(text))
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _cases(report: Report) -> list[tuple[str, float, list[str]]]:
    """Return name, longest time and failures of each line that was played."""
    lines: dict[int, list[StepResult]] = {}
    for each in report.results:
        lines.setdefault(each.line, []).append(each)
    return [
        (
            f"line {line}: {results[0].action}",
            max(each.took_s for each in results),
            [f"{each.client}: {each.failure}" for each in results if each.failure],
        )
        for line, results in sorted(lines.items())
    ]


def _printable(text: str) -> str:
    """Return a text without the control characters that XML cannot hold."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
