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
    assert script.forwarders(trace) == []


def test_the_path_leads_from_the_socket_to_the_store(script: ModuleType) -> None:
    trace = asyncio.run(script.trace_start())

    modules = [module for module, _ in trace.path]
    assert modules[0] == "gateway/transport.py"
    assert modules[-1] == "adapters/memory/store.py"
    assert {"core/step.py", "core/segments.py", "wire/signaling.py"} <= set(trace.modules)


def test_a_longer_path_is_a_problem(script: ModuleType) -> None:
    nested = [("gateway/server.py", "f")] * (script.MOST_NESTED + 1)
    calls = [(1, f"module{number}.py", "f") for number in range(script.MOST_MODULES + 1)]
    calls.append((script.MOST_DEEP + 1, "module1.py", "g"))

    found = script.problems(script.Trace(calls=calls, path=nested))

    assert len(found) == 3
    assert "nested calls" in found[0]
    assert "deep" in found[1]
    assert "modules" in found[2]


@pytest.mark.parametrize(
    ("source", "forwards"),
    [
        ("def f(a, b):\n    return g(a, b)", True),
        ('def f(a):\n    """Text."""\n    g(a)', True),
        ("async def f(a, *, b):\n    return await g(a, b=b)", True),
        ("class C:\n    def f(self, a):\n        return self.it.g(a)", True),
        ("def f(a, b):\n    return g(b, a)", False),
        ("def f(a):\n    return g(a, 1)", False),
        ("def f(a):\n    return g(a.b)", False),
        ("def f(a):\n    return not g(a)", False),
        ("def f(a):\n    if a:\n        g(a)", False),
        ("class C:\n    def f(self):\n        return self.it.g()", False),
    ],
)
def test_a_function_that_only_passes_its_arguments_on_is_found(
    script: ModuleType, source: str, forwards: bool
) -> None:
    (function,) = script.functions(source).values()

    assert script.only_forwards(function) is forwards


def test_forwarders_of_a_trace_are_named(script: ModuleType) -> None:
    passes_on = "AuthenticatedClient.deliver"
    calls = [(1, "gateway/session.py", passes_on), (2, "gateway/session.py", "Session.receive")]

    assert script.forwarders(script.Trace(calls=calls)) == [f"gateway/session.py: {passes_on}"]


def test_a_request_that_led_to_no_commit_is_a_problem(script: ModuleType) -> None:
    assert script.problems(script.Trace()) == ["the request led to no commit"]
