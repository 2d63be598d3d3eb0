"""The path of a request to start a recording through the controller stays straight."""

import asyncio
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "trace"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Load ``scripts/trace``."""
    loader = SourceFileLoader("trace_script", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_a_start_takes_a_bounded_number_of_calls_and_modules(script: ModuleType) -> None:
    trace = asyncio.run(script.trace_start())

    assert script.problems(trace) == []


def test_the_path_leads_from_the_socket_to_the_store(script: ModuleType) -> None:
    trace = asyncio.run(script.trace_start())

    modules = [module for module, _ in trace.path]
    assert modules[0] == "gateway/transport.py"
    assert modules[-1] == "adapters/memory/store.py"
    assert {"core/step.py", "core/segments.py", "wire/signaling.py"} <= set(trace.modules)


def test_a_longer_path_is_a_problem(script: ModuleType) -> None:
    nested = [("gateway/server.py", "f")] * (script.MOST_NESTED + 1)
    calls = [(1, f"module{number}.py", "f") for number in range(script.MOST_MODULES + 1)]

    found = script.problems(script.Trace(calls=calls, path=nested))

    assert len(found) == 2
    assert "nested calls" in found[0]
    assert "modules" in found[1]


def test_a_request_that_led_to_no_commit_is_a_problem(script: ModuleType) -> None:
    assert script.problems(script.Trace()) == ["the request led to no commit"]
