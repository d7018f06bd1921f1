"""What the readers of configs share: references, values in their kinds, batches, and names that are left out."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import BadConfig
from auscult.readers.config_sheet import Sheet, resolved
from auscult.readers.toml_text import read_toml
from auscult.readers.yaml_text import read_yaml
from auscult.run import Known, Source, Unknown


def values(text: str) -> dict[str, object]:
    return {k: q.value if isinstance(q, Known) else q.reason for k, q in resolved(read_yaml(text, "a.yaml")).items()}


def sheet(text: str) -> Sheet:
    return Sheet(resolved(read_yaml(text, "a.yaml")), "a trainer", "trainer")


def known(value: int) -> Known[int]:
    return Known(value, Source("read", "a.yaml", 1))


def test_references() -> None:
    """References are followed within the file, in texts and as whole mappings."""
    found = values("a: 3\nb: ${a}\nc: x-${a}-y\nd: ${b}\ne:\n  f: ${a}\ng: ${e}\n")
    assert found == {"a": 3, "b": 3, "c": "x-3-y", "d": 3, "e.f": 3, "g.f": 3}


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${missing}", "x${missing}", "${a}", "${", "${b[0]}", "${${c}}"])
def test_open_references(text: str) -> None:
    """A reference to the environment, to nothing or to itself leaves the value unknown or as it is, never an error."""
    found = resolved(read_yaml(f"a: '{text}'\nc: a\n", "a.yaml"))["a"]
    assert isinstance(found, Unknown) or found.value == text


def test_people_are_left_out() -> None:
    """Sources show no names of people and machines, and settings no folders of a machine."""
    one = sheet("data: /home/somebody/sets/made_up\nmail: me@example.org\n")
    one.take("recipe.dataset", "data")
    one.note("mail")
    dataset = one.found["recipe.dataset"]
    assert isinstance(dataset, Known)
    assert (dataset.value, dataset.source.text) == ("made_up", "data: ~/sets/made_up")
    assert one.noted["trainer.mail"].source.text == "mail: …"


def test_kinds() -> None:
    """Values are taken in the kind that is asked for, and say nothing otherwise."""
    one = sheet("a: 1e3\nb: auto\nc: '12'\nd: true\ne: .nan\nf: 2.5\n")
    assert [q.value if (q := one.whole(n)) is not None else None for n in "abcdef"] == [
        1000,
        None,
        12,
        None,
        None,
        None,
    ]
    assert [p.value if (p := one.number(n)) is not None else None for n in "abcdef"] == [
        1000,
        None,
        12,
        None,
        None,
        2.5,
    ]
    assert one.flag("d", "a") == Known(True, Source("read", "a.yaml", 4, "d: true"))


def test_impossible_values() -> None:
    """A value that no run can have is unknown, with a problem."""
    one = sheet("layers: -3\n")
    one.take("architecture.n_layer", "layers")
    assert isinstance(one.found["architecture.n_layer"], Unknown)
    assert one.problems[0].kind == "impossible_value"


@pytest.mark.parametrize(
    ("total", "each", "ranks", "accumulation", "tokens"),
    [(64, None, None, 16, 640), (63, None, None, None, 630), (None, 3, 2, 6, 240), (None, 3, None, None, None)],
)
def test_batches(
    total: int | None, each: int | None, ranks: int | None, accumulation: int | None, tokens: int | None
) -> None:
    """The accumulation over all ranks and the tokens of a step follow from the whole batch, or from ranks that are known."""
    one = sheet("a: 1\n")
    one.put("recipe.batch_size", known(4))
    one.put("architecture.context", known(10))
    one.batch(
        total=known(total) if total else None, each=known(each) if each else None, ranks=known(ranks) if ranks else None
    )
    for key, wanted in (("recipe.gradient_accumulation_steps", accumulation), ("logged.tokens_per_step", tokens)):
        found = one.found.get(key)
        assert (found.value if isinstance(found, Known) else None) == wanted


def test_toml_lines() -> None:
    """TOML values have their lines, through dotted keys, strings of several lines and lists of tables."""
    text = 'a.b = 1\n[s]\ntext = """\nb = 3\n"""\nb = [1,\n 2]\n[[t]]\nc = true\n'
    found = {path: (q.value, q.source.line) for path, q in read_toml(text, "a.toml").items()}
    assert found["a.b"] == (1, 1)
    assert found["s.b"] == ([1, 2], 6)
    assert found["t.0.c"][0] is True


@pytest.mark.parametrize("text", ["a = ", "[a", "a = 1\na = 2", "a = " + "[" * 20_000, "a = " + "9" * 5_000])
def test_bad_toml(text: str) -> None:
    """What is no TOML, or is made to exhaust a reader, is an error of its own."""
    with pytest.raises(BadConfig):
        read_toml(text, "a.toml")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab.=[]\"'\n ${}1#", max_size=80))
def test_any_toml(text: str) -> None:
    """Any text is TOML or a BadConfig."""
    with contextlib.suppress(BadConfig):
        read_toml(text, "a.toml")
