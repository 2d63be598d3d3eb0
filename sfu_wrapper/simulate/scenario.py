"""Scenario files: YAML in, frozen models with line numbers out (simulate.md, "Scenario files").

Every problem of a file is a ``Malformed`` that names file and line. Anchors are refused: a few
lines of them make a tree that fills the memory.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml  # type: ignore[import-untyped]  # brings no types of its own
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema

from sfu_wrapper.model.errors import Malformed

NAME: Final = r"^[a-z][a-z0-9_]*$"
ANSWER_S: Final = 20.0
MAX_BYTES: Final = 1024 * 1024
_STEPS: Final = ("steps", "together")

Json = dict[str, Any]
Name = Annotated[str, Field(pattern=NAME)]
Seconds = Annotated[float, Field(ge=0, le=3600)]
Range = tuple[Seconds, Seconds]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(_Part):
    """A client of the scenario."""

    role: Literal["user", "service", "domain-admin"] = "user"
    via: Literal["socket", "gateway"] = "socket"
    shared: bool = Field(False, description="one client for all calls, such as the room service")


class Permission(_Part):
    """A stored permission, as over HTTP."""

    recordingType: Literal["all", "audio", "video", "none"]  # noqa: N815 - the name on the wire
    recordingProfile: Literal["always", "optional", "skip"]  # noqa: N815


class Calls(_Part):
    """The same steps as many calls, each with clients and a room of its own."""

    count: int = Field(1, ge=1, le=10_000)
    within: Seconds = Field(0, description="seconds in which the calls begin")
    ramp: Literal["even", "rising", "random"] = "even"


class Frame(_Part):
    """A WebSocket frame that no client library sends, on a connection of its own."""

    text: str | None = Field(None, description="the frame; none: send nothing")
    size: int | None = Field(None, ge=1, le=4_000_000, description="a text of that many bytes")
    binary: bool = False
    authenticated: bool = True


class Step(_Part):
    """Action of one client, and what must come of it."""

    line: SkipJsonSchema[int] = 0
    client: Name | None = None
    send: str | None = Field(None, description="a request: its endpoint")
    payload: Json = Field(default_factory=dict, description="of the request")
    id: str | None = Field(None, description="request id; the same one again is a repeat")
    refused: str | None = Field(None, description="code of the error response")
    expect: Json | None = Field(None, description="fields of the answer, or of the event")
    event: str | None = Field(None, description="wait for the next event of this name")
    where: Json | None = Field(None, description="fields that tell the event from others")
    never: str | None = Field(None, description="no such event has come so far")
    files: int | None = Field(None, ge=1, description="wait for the files of this segment")
    frame: Frame | None = None
    closed: int | None = Field(None, description="close code after that frame")
    drop: bool = Field(False, description="cut the connection; the client comes back")
    disconnect: bool = Field(False, description="go, and stay away")
    connect: bool = Field(False, description="come back after disconnect")
    pause: Seconds | Range | None = Field(None, description="seconds, or between two numbers")
    together: tuple["Step", ...] = Field((), description="steps at the same time")
    repeat: int = Field(1, ge=1, le=1000, description="play steps so many times")
    steps: tuple["Step", ...] = ()
    within: Seconds = Field(ANSWER_S, description="deadline of an event, in seconds")

    @property
    def action(self) -> str:
        """Return the name of the action, for reports."""
        if self.send is not None:
            return self.send
        if self.event is not None:
            return f"event {self.event}"
        if self.never is not None:
            return f"never {self.never}"
        return next(name for name in _ACTIONS if getattr(self, name))

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        """Require one action, with the fields that belong to it."""
        actions = [name for name in _ACTIONS if getattr(self, name) not in (None, False, ())]
        if len(actions) != 1:
            raise ValueError(f"a step has one of {', '.join(_ACTIONS)}; this one: {actions}")
        (action,) = actions
        if (self.client is None) != (action in ("pause", "together", "steps")):
            raise ValueError(f"{action} has {'no' if self.client else 'a'} client")
        for name, owners in _BELONG.items():
            default = type(self).model_fields[name].get_default(call_default_factory=True)
            if getattr(self, name) != default and action not in owners:
                raise ValueError(f"{name} belongs to {' or '.join(owners)}, not to {action}")
        if self.refused is not None and self.expect is not None:
            raise ValueError("refused and expect exclude each other")
        if action == "frame" and self.closed is None:
            raise ValueError("frame needs closed")
        return self


_ACTIONS: Final = (
    "send", "event", "never", "files", "frame", "drop", "disconnect", "connect", "pause",
    "together", "steps",
)  # fmt: skip
_BELONG: Final = {
    "payload": ("send",),
    "id": ("send",),
    "refused": ("send",),
    "expect": ("send", "event"),
    "where": ("event", "never"),
    "closed": ("frame",),
    "repeat": ("steps",),
    "within": ("event", "files"),
}


class Scenario(_Part):
    """A scenario."""

    scenario: str = Field(description="what is true, as a sentence")
    about: str = Field("", description="what it shows, and where that is documented")
    controller: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="configuration of the controller"
    )
    permissions: dict[Name, Permission] = Field(
        default_factory=dict, description="stored permissions, by client"
    )
    files: bool = Field(False, description="run the recording service too")
    clients: dict[Name, Person]
    rooms: tuple[Name, ...] = ("room",)
    calls: Calls = Calls()
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        """Require that steps and permissions name clients of the scenario."""
        for step in all_steps(self.steps):
            if step.client is not None and step.client not in self.clients:
                raise ValueError(f"line {step.line}: no client {step.client!r} in clients")
        for name in self.permissions:
            if name not in self.clients:
                raise ValueError(f"permissions: no client {name!r} in clients")
        if both := set(self.rooms) & set(self.clients):
            raise ValueError(f"{sorted(both)}: a room and a client of one name")
        return self


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield every step, those inside others too."""
    for step in steps:
        yield step
        yield from all_steps(step.together)
        yield from all_steps(step.steps)


def load(path: Path) -> Scenario:
    """Read a scenario file. Raises Malformed: file, line and what is wrong."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Malformed(f"{path}: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise Malformed(f"{path}: more than {MAX_BYTES} bytes")
    return parse(text.decode(errors="replace"), str(path))


def parse(text: str, name: str) -> Scenario:
    """Read the text of a scenario file; ``name`` is that of the file, for errors."""
    lines: dict[tuple[int | str, ...], int] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = None if root is None else _Reader(lines).read(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise Malformed(f"{where}: {error.problem or error.context}") from error
    except RecursionError as error:
        raise Malformed(f"{name}: nested too deep") from error
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = first["loc"]
        place = max((k for k in lines if k == path[: len(k)]), key=len, default=())
        where = ".".join(map(str, path)) or "scenario"
        message = f"{name}:{lines.get(place, 1)}: {where}: {first['msg']}"
        raise Malformed(message) from None


class _Reader:
    """Turns nodes into values, and remembers the line of each."""

    def __init__(self, lines: dict[tuple[int | str, ...], int]) -> None:
        self._lines = lines
        self._seen: set[int] = set()
        self._safe = yaml.SafeLoader("")

    def read(self, node: yaml.Node, path: tuple[int | str, ...]) -> object:
        """Return the value of a node. Raises yaml.MarkedYAMLError."""
        if id(node) in self._seen:
            raise yaml.MarkedYAMLError(None, None, "anchors are not used here", node.start_mark)
        self._seen.add(id(node))
        self._lines[path] = node.start_mark.line + 1
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.read(each, (*path, i)) for i, each in enumerate(node.value)]
        return self._safe.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: tuple[int | str, ...]) -> Json:
        found: Json = {}
        for key, value in node.value:
            name = key.value
            if not isinstance(name, str) or name in found:
                raise yaml.MarkedYAMLError(None, None, f"{name!r} twice", key.start_mark)
            found[name] = self.read(value, (*path, name))
        if len(path) > 1 and path[-2] in _STEPS:
            found["line"] = node.start_mark.line + 1
        return found


def schema() -> Json:
    """Return the JSON schema of scenario files, for editors."""
    described = Scenario.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | described
