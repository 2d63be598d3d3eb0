"""Additions that CONTRIBUTING.md describes: each table and page names all that there is.

A value added in one place only fails here, under the name of the file that lacks it.
"""

import ast
import importlib
import pkgutil
import re
from inspect import isfunction
from itertools import product
from pathlib import Path
from typing import get_args

import av
import pytest

from sfu_wrapper import formats
from sfu_wrapper.adapters.media import demux, encoder, mux
from sfu_wrapper.app.planes import PLANES
from sfu_wrapper.config.controller import Mixer, Sfu
from sfu_wrapper.core.plan import VIDEO_BITS_PER_S, Quality
from sfu_wrapper.core.policy import PolicySettings, PstnConflict, Reason, decide
from sfu_wrapper.formats import g711, opus
from sfu_wrapper.formats.depacketizers import depacketizer
from sfu_wrapper.formats.frame import VideoCodec
from sfu_wrapper.model.codecs import (
    AUDIO_INPUT,
    MERGED_ENCODERS,
    VIDEO_INPUT,
    AudioInput,
    AudioInputCodec,
    MergedCodec,
    VideoInput,
    VideoInputCodec,
)
from sfu_wrapper.model.identity import (
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
)

TOP = Path(__file__).parents[2]
GATEWAY = TOP / "sfu_wrapper" / "gateway"
QUALITIES: tuple[Quality, ...] = get_args(Quality)


def entry_of_quality(page: str) -> str:
    """Return the line or list entry about ``quality`` on a page or in a file."""
    text = (TOP / page).read_text(encoding="utf-8")
    (found,) = re.findall(r"^(?:\* .*`quality`|quality =)(?:.|\n(?!\n|\*))*", text, re.MULTILINE)
    return str(found)


def depacketizers() -> set[type]:
    """Return the classes of ``formats`` that join packets of video to frames."""
    names = [
        module.name for module in pkgutil.iter_modules(formats.__path__, "sfu_wrapper.formats.")
    ]
    methods = [name for name in vars(VideoCodec) if not name.startswith("_")]
    return {
        found
        for name in names
        for found in vars(importlib.import_module(name)).values()
        if isinstance(found, type) and found is not VideoCodec
        if all(isfunction(vars(found).get(method)) for method in methods)
    }


def public_functions(suffix: str) -> set[str]:
    """Return the public functions of the gateway whose names end so."""
    return {
        node.name
        for path in GATEWAY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        if node.name.endswith(suffix) and not node.name.startswith("_")
    }


def test_every_reason_is_given_by_some_decision_in_core_policy() -> None:
    stored = [RecordingPermissions(*pair) for pair in product(RecordingType, RecordingProfile)]
    switches = product(RecordingType, [True, False], [True, False], PstnConflict, [True, False])
    settings = [PolicySettings(*values) for values in switches]
    owners = [OwnerPermissions(user) for user in (None, *stored)]
    questions = product(Kind, Origin, [True, False, None], owners, settings)

    assert {decide(*question).reason for question in questions} == {*Reason, None}


def test_every_quality_has_its_bit_rate_in_core_plan() -> None:
    assert tuple(VIDEO_BITS_PER_S) == QUALITIES


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_quality_is_described_with_its_bit_rate(quality: Quality) -> None:
    entry = entry_of_quality("docs/reference/recordings.md")

    assert quality in entry
    assert str(VIDEO_BITS_PER_S[quality] // 1000) in entry


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_quality_is_in_the_example_of_the_configuration(quality: Quality) -> None:
    assert quality in entry_of_quality("config/recording.toml").partition("#")[2]


def test_every_name_of_a_codec_is_in_the_table_of_model_codecs() -> None:
    assert tuple(VIDEO_INPUT) == get_args(VideoInput)
    assert tuple(AUDIO_INPUT) == get_args(AudioInput)
    assert tuple(MERGED_ENCODERS) == tuple(encoder.OPTIONS) == get_args(MergedCodec)


def test_every_depacketizer_is_in_formats_depacketizers() -> None:
    assert {type(depacketizer(codec.name)) for codec in VIDEO_INPUT.values()} == depacketizers()


@pytest.mark.parametrize("name", sorted(each.__module__ for each in depacketizers()))
def test_every_depacketizer_has_its_tests(name: str) -> None:
    module = name.rpartition(".")[2]

    assert (TOP / "tests" / "unit" / "formats" / f"test_{module}.py").is_file()


def test_every_container_of_a_codec_can_be_written_and_read() -> None:
    video = {suffix for codec in VIDEO_INPUT.values() for suffix in codec.suffixes}
    audio = {codec.suffix for codec in AUDIO_INPUT.values()}

    assert video == set(mux.COPIES)
    assert video | audio == set(demux.DEMUXERS)


@pytest.mark.parametrize("codec", VIDEO_INPUT.values(), ids=VIDEO_INPUT)
def test_every_video_codec_is_known_to_libavcodec(codec: VideoInputCodec) -> None:
    assert av.Codec(codec.libav, "r").canonical_name == codec.libav


@pytest.mark.parametrize("codec", AUDIO_INPUT.values(), ids=AUDIO_INPUT)
def test_the_rtp_clock_of_audio_is_that_of_its_format(codec: AudioInputCodec) -> None:
    assert codec.clock_hz == (g711.RATE if codec.name in g711.CODECS else opus.RATE)


@pytest.mark.parametrize("routes", sorted(public_functions("_routes")))
def test_every_group_of_http_routes_is_included_in_gateway_rest_app(routes: str) -> None:
    tree = ast.parse((GATEWAY / "rest" / "app.py").read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert routes in called


def test_every_media_plane_of_the_configuration_is_in_app_planes() -> None:
    assert set(PLANES) == {*get_args(Sfu), *get_args(Mixer)}


@pytest.mark.parametrize("name", PLANES)
def test_every_media_plane_has_either_a_check_or_a_caution_for_doctor(name: Sfu | Mixer) -> None:
    plane = PLANES[name]

    assert (plane.server is None) is (plane.caution is not None)


@pytest.mark.parametrize("name", PLANES)
def test_every_media_plane_keeps_the_contract_of_planes(name: Sfu | Mixer) -> None:
    contract = (TOP / "tests" / "contract" / "test_plane.py").read_text(encoding="utf-8")
    server = PLANES[name].server

    assert f'"{name if server is None else server.name}"' in contract
