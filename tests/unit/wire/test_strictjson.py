import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.wire.strict_json import (
    MAX_DEPTH,
    Ambiguous,
    NotJson,
    canonical,
    dump,
    parse_strict,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(-1e18, 1e18, allow_nan=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(values)
def test_what_was_written_is_read_back(value: object) -> None:
    assert parse_strict(dump(value)) == value


@given(values)
def test_what_another_writer_wrote_is_read_the_same(value: object) -> None:
    assert parse_strict(json.dumps(value)) == value


@given(values)
def test_the_canonical_form_says_the_same_and_has_one_shape(value: object) -> None:
    assert parse_strict(canonical(value)) == value
    assert canonical(parse_strict(canonical(value))) == canonical(value)


def test_the_canonical_form_does_not_know_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": {"d": 2, "c": 3}}) == b'{"a":{"c":3,"d":2},"b":1}'


@given(st.binary(max_size=200) | st.text(st.characters(), max_size=200))
def test_anything_is_read_or_refused_and_never_breaks_the_reader(text: str | bytes) -> None:
    try:
        value = parse_strict(text)
    except (NotJson, Ambiguous):
        return

    assert parse_strict(dump(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "{'a':1}",
        "NaN",
        "[Infinity]",
        '{"a":-Infinity}',
        "\ufeff{}",
        '"\x00"',
        '"\ud800"',
        b"\xff",
        b'"\xed\xa0\x80"',
        "01",
        "{}{}",
    ],
)
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(NotJson, match="not JSON"):
        parse_strict(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":1,"a":2}', "duplicate"),
        ('{"a":1,"\\u0061":2}', "duplicate"),
        ('[{"x":{"a":":","a":"::"}}]', "duplicate"),
        ('{"a":"say \\"hi\\": now","a":1}', "duplicate"),
        ("9" * 30, "range"),
        ("-" + "9" * 30, "range"),
        ("[1e30]", "range"),
        ("[1e999]", "not acceptable"),
        ("1" * 5000, "range"),
        ("[" * 5000 + "]" * 5000, "nested"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "nested"),
        ("[" * (MAX_DEPTH + 1) + '"\\ud800"' + "]" * (MAX_DEPTH + 1), "nested"),
        ('{"a":' * (MAX_DEPTH + 1) + '"\\ud800"' + "}" * (MAX_DEPTH + 1), "nested"),
        ("[" * MAX_DEPTH + '"\\ud800"' + "]" * MAX_DEPTH, "surrogate"),
        ('"\\ud800"', "surrogate"),
        ('{"\\u0000":1}', "NUL"),
        ('["a\\\\\\u0000"]', "NUL"),
    ],
)
def test_json_that_might_be_read_in_two_ways(text: str, why: str) -> None:
    with pytest.raises(Ambiguous, match=why):
        parse_strict(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":":::","b":{"a":"\\":\\""}}',
        '{"time":"12:30:00","url":"http://x/?a:b"}',
        '{"a":"\\u003a:\\u003A","b":1}',
        '{"a":"\\\\u003a:"}',
        '["\\\\u0000", "\\\\\\\\u0000"]',
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        "[18446744073709551615,-9223372036854775808]",
        '{"":{"":{"":0}}}',
        '"\\ud83d\\ude00"',
        "0.1",
    ],
)
def test_json_with_one_meaning_is_read(text: str) -> None:
    assert parse_strict(text) == json.loads(text)


def test_a_refusal_keeps_what_can_be_made_of_it() -> None:
    with pytest.raises(Ambiguous) as twice:
        parse_strict('{"id":"x","a":1,"a":2}')
    with pytest.raises(Ambiguous) as lone:
        parse_strict('{"id":"x","a":"\\ud800"}')
    with pytest.raises(Ambiguous) as deep:
        parse_strict('{"id":"x","a":' + "[" * 2000 + "]" * 2000 + "}")

    assert twice.value.value == {"id": "x", "a": 2}
    assert lone.value.value == {"id": "x", "a": "\ud800"}
    assert deep.value.value is None
    with pytest.raises(Ambiguous, match="nested") as both:
        parse_strict('{"id":"x","a":' + "[" * MAX_DEPTH + '"\\ud800"' + "]" * MAX_DEPTH + "}")
    assert both.value.value is None


pieces = st.sampled_from(
    [":", "\\u003a", "\\u003A", "\\\\u003a", "\\\\", '\\"', "\\u0000", "\\\\u0000", "a", "é"]
)
strings = st.lists(pieces, max_size=3).map("".join).map(lambda inside: f'"{inside}"')
scalars = strings | st.sampled_from(["0", "1e30", "-1e30", "9223372036854775808", "0.5", "null"])
texts_of_json = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(strings, inner), max_size=3).map(
            lambda pairs: f"{{{','.join(f'{key}:{value}' for key, value in pairs)}}}"
        )
    ),
    max_leaves=8,
)


def has_one_meaning(text: str) -> bool:
    """By the plainest of all readers: one that looks at everything, one after the other."""
    found: list[bool] = []

    def pairs(members: list[tuple[str, object]]) -> dict[str, object]:
        found.append(len({key for key, _ in members}) == len(members))
        found.extend("\0" not in key for key, _ in members)
        return dict(members)

    def look(value: object) -> None:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                look(inner)
        elif isinstance(value, str):
            found.append("\0" not in value)
        elif isinstance(value, int | float):
            found.append(abs(value) < 2.0**63 or (isinstance(value, int) and value < 2**64))

    look(json.loads(text, object_pairs_hook=pairs))
    return all(found)


@given(texts_of_json)
def test_the_quick_checks_refuse_what_the_plainest_reader_refuses(text: str) -> None:
    try:
        assert parse_strict(text) == json.loads(text)
        one_meaning = True
    except Ambiguous:
        one_meaning = False

    assert one_meaning == has_one_meaning(text)


def test_integers_of_many_digits_cost_no_square() -> None:
    text = f"[{','.join(['1' * 4000] * 16)},NaN]"

    with pytest.raises(NotJson):
        parse_strict(text)


def test_texts_that_are_kept_take_the_memory_of_their_length() -> None:
    before = _resident_bytes()
    kept = [dump({"data": "x" * 480, "number": number}) for number in range(20_000)]
    kept += [canonical({"data": "x" * 480, "number": number}) for number in range(20_000)]
    assert _resident_bytes() - before < 2 * sum(map(len, kept))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
