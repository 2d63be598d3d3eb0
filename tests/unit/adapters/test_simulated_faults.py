"""The compact text of faults, and how they are used up."""

import pytest

from sfu_wrapper.adapters.simulated.faults import (
    EVER,
    Fault,
    Faults,
    InjectedFault,
    MediumFaults,
    Way,
)
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.media import Medium


def test_no_text_means_no_faults() -> None:
    assert Faults.parse(" ") == Faults()


def test_every_kind_of_term_is_understood() -> None:
    faults = Faults.parse(
        "video.start=late:1.5*2, video.stop=hang, audio.lose=3, audio.die=0.5*1, freeze=4"
    )

    assert faults == Faults(
        video=MediumFaults(
            start=Fault(InjectedFault(Way.LATE, 1.5), 2), stop=Fault(InjectedFault(Way.HANG), EVER)
        ),
        audio=MediumFaults(
            lose=Fault(InjectedFault(after_s=3.0)), die=Fault(InjectedFault(after_s=0.5), 1)
        ),
        freeze_s=4.0,
    )


def test_a_term_without_a_medium_counts_for_both() -> None:
    assert Faults.parse("start=refuse") == Faults.parse("audio.start=refuse,video.start=refuse")


@pytest.mark.parametrize(
    "text",
    [
        "start",
        "start=explode",
        "start=late",
        "start=refuse:3",
        "start=3",
        "lose=refuse",
        "die=",
        "freeze=hang",
        "screen.start=refuse",
        "start=refuse*0",
        "video.freeze=1",
        "freeze=1*2",
    ],
)
def test_nonsense_is_named(text: str) -> None:
    with pytest.raises(Misconfigured, match="is not a fault"):
        Faults.parse(f"stop=hang,{text}")


def test_what_is_named_instead_of_nonsense_is_understood() -> None:
    with pytest.raises(Misconfigured) as refused:
        Faults.parse("bogus")

    named = str(refused.value).split("write such as ")[1]
    assert Faults.parse(named.replace(" or ", ",")) != Faults()


def test_a_counted_fault_is_used_up_by_its_own_medium() -> None:
    faults = Faults.parse("start=refuse*2")
    for _ in range(2):
        spoil, faults = faults.take(Medium.VIDEO, "start")
        assert spoil == InjectedFault(Way.REFUSE)

    assert faults.take(Medium.VIDEO, "start") == (None, faults)
    assert faults.take(Medium.AUDIO, "start")[0] == InjectedFault(Way.REFUSE)


def test_an_uncounted_fault_stays() -> None:
    faults = Faults.parse("video.stop=mute")

    assert faults.take(Medium.VIDEO, "stop") == (InjectedFault(Way.MUTE), faults)
