# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts and what must be read from them: the fixture pairs, and every file of ../shared/samples where it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NotUnderstood
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import ParseError, parse
from ansible_collections.homenet.traffic.tests.unit.plugin_utils import reading
from ansible_collections.homenet.traffic.tests.unit.plugin_utils.reading import Pair

PARSED = FOLDERS = sorted(path.stem for path in reading.TEMPLATES.glob("*.textfsm"))
FIXTURES = [pair for name in FOLDERS for pair in reading.pairs(reading.FIXTURES / name)]
LISTINGS = list(reading.pairs(reading.FIXTURES / reading.NFT))
MESSAGES = list(reading.pairs(reading.FIXTURES / "errors"))
SAMPLES = list(reading.pairs(reading.SAMPLES)) if reading.SAMPLES.is_dir() else []


def name_of(pair: Pair) -> str:
    return f"{pair.path.parent.name}/{pair.path.stem}"


@pytest.mark.parametrize("pair", FIXTURES, ids=name_of)
def test_a_fixture_is_read(pair: Pair) -> None:
    template = reading.template(pair.path.parent.name)
    for kind in pair.kinds & set(reading.KINDS):
        found = reading.objects(kind, parse(reading.KINDS[kind], template, reading.quiet(pair.text)))
        assert found == [reading.wanted(one) for one in pair.expected if one["kind"] == kind]
    if "error" in pair.kinds:
        refused_as(pair.expected[0].get("code", "rounded_counters"), pair, template.stem)


@pytest.mark.parametrize("pair", LISTINGS, ids=name_of)
def test_a_listing_of_nft_is_read(pair: Pair) -> None:
    [expected] = pair.expected
    if expected["kind"] == "error":
        with pytest.raises(NotUnderstood):
            reading.read_nft(pair.text)
    else:
        assert reading.nft_records(reading.read_nft(pair.text)) == expected["records"]


def refused_as(code: str, pair: Pair, template: str) -> None:
    kinds = [kind for kind, names in reading.BY_KIND.items() if template in names]
    for kind in kinds:
        with pytest.raises(ParseError) as refusal:
            parse(kind, reading.template(template), reading.quiet(pair.text))
        assert refusal.value.code == code


@pytest.mark.parametrize("pair", FIXTURES, ids=name_of)
def test_another_template_does_not_read_it_differently(pair: Pair) -> None:
    """A profile tries one way after the other: a template that does not fit must refuse, not misread."""
    for kind in pair.kinds & set(reading.KINDS):
        parsed = reading.KINDS[kind]
        mine = parse(parsed, reading.template(pair.path.parent.name), reading.quiet(pair.text))
        for name in reading.BY_KIND[parsed]:
            try:
                assert parse(parsed, reading.template(name), reading.quiet(pair.text)) == mine
            except ParseError:
                continue


@pytest.mark.parametrize("template", FOLDERS)
def test_each_template_has_a_pair_for_each_of_its_kinds(template: str) -> None:
    kinds = {kind for kind, names in reading.BY_KIND.items() if template in names}
    assert kinds, f"{template}: no kind in reading.BY_KIND"
    proven = {
        reading.KINDS[kind]
        for pair in FIXTURES
        if pair.path.parent.name == template
        for kind in pair.kinds & set(reading.KINDS)
        if any(one["kind"] == kind and one.get("records", True) for one in pair.expected)
    }
    assert proven == kinds


def test_each_fixture_has_a_template() -> None:
    for path in reading.FIXTURES.rglob("*.txt"):
        assert path.with_suffix(".json").is_file(), path
        assert path.relative_to(reading.FIXTURES).parts[0] in {*FOLDERS, reading.NFT, reading.IPSET, "errors", "dialogue", "findings"}, path


@pytest.mark.parametrize("pair", MESSAGES, ids=name_of)
def test_an_error_message_is_classified(pair: Pair) -> None:
    for line in pair.text.splitlines():
        assert reading.code_of(line) == pair.expected[0]["what"], line


def test_nft_says_in_its_second_line_what_is_missing() -> None:
    for missing in ("Error: No such file or directory", "<cmdline>:1:1-29: Error: Could not process rule: No such file or directory"):
        assert reading.code_of(f"{missing}\nlist chain inet lanmeter meter\n           ^^^^^^^^\n") == "no_such_chain"
        assert reading.code_of(f"{missing}\nlist table inet lanmeter\n           ^^^^^^^^\n") == "no_such_table"
    assert reading.code_of("all is well\nlist chain inet lanmeter meter\n") is None


@pytest.mark.parametrize("pair", [pair for pair in (*FIXTURES, *LISTINGS) if "error" not in pair.kinds], ids=name_of)
def test_no_good_output_is_classified_as_an_error(pair: Pair) -> None:
    assert reading.code_of(pair.text) is None


# The samples that the developers share: others of the same format can stand in for them


if SAMPLES:  # elsewhere the copies of them among the fixtures are what is tested

    def test_every_kind_of_sample_has_a_reader() -> None:
        kinds = {kind for pair in SAMPLES for kind in pair.kinds}
        assert kinds <= {*reading.KINDS, reading.NFT, *reading.NOT_OURS, "error"}

    @pytest.mark.parametrize("pair", [pair for pair in SAMPLES if not pair.kinds & reading.NOT_OURS], ids=name_of)
    def test_a_sample_is_read(pair: Pair) -> None:
        texts = reading.answers(pair.path.stem, pair.text)
        used: set[int] = set()
        for kind in sorted(pair.kinds):
            expected = [reading.wanted(one) for one in pair.expected if one["kind"] == kind]
            found = _found(kind, texts, expected, used)
            assert found == expected
        assert "error" in pair.kinds or used == set(range(len(texts))), "an answer that nobody reads"


def _found(kind: str, texts: list[str], expected: list[dict[str, Any]], used: set[int]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for at, text in enumerate(texts):
        if kind == "error":
            one = _error(text, any("what" in error for error in expected))
            news: list[Any] = [one] if one else []
        else:
            news = _objects(kind, text)
        if news:
            used.add(at)
        found += news
    return _merged(found) if kind == "error" else found


def _objects(kind: str, text: str) -> list[dict[str, Any]]:
    try:
        if kind == reading.NFT:
            return [{"kind": kind, "records": reading.nft_records(reading.read_nft(text))}]
        return reading.objects(kind, reading.read(reading.KINDS[kind], text))
    except (ParseError, NotUnderstood):
        return []


def _error(text: str, named: bool) -> dict[str, Any] | None:
    """An error message has a code; a text without exact counts is refused by every template there is."""
    if named:
        code = reading.code_of(text)
        return {"kind": "error", "what": code} if code else None
    for kind, names in reading.BY_KIND.items():
        for name in names:
            with pytest.raises(ParseError):
                parse(kind, reading.template(name), reading.quiet(text))
    with pytest.raises(NotUnderstood):
        reading.read_nft(text)
    return {"kind": "error"}


def _merged(found: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same error several times counts once: a session can repeat itself."""
    return [one for at, one in enumerate(found) if one not in found[:at]]
