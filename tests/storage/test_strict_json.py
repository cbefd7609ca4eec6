"""Untrusted JSON: how much there is of it is told before it is parsed."""

from __future__ import annotations

import json
import time

import pytest

from reweight.storage.strict_json import CONTAINERS, few, read_object


@pytest.mark.parametrize("one", ["[]", "{}", '{"a":1}'])
def test_too_many_lists_or_objects_are_refused_before_they_are_parsed(one):
    text = json.dumps({"a": 0})[:-2] + f"[{','.join([one] * (CONTAINERS + 1))}]}}"
    json.loads(text)
    with pytest.raises(ValueError, match="too many values"):
        read_object(text, "a table", len(text))


def test_commas_and_brackets_within_text_do_not_count():
    text = json.dumps({"a": '[{,\\",' * 200_000})
    assert few(text.encode()) and read_object(text, "a table", len(text))["a"].startswith("[{,")


@pytest.mark.parametrize("odd", [b'"' + b'\\"' * 900_000, b'"' + b"\\" * 1_800_001, b'[,"' * 600_000, b'"' * 1_800_000])
def test_counting_takes_no_longer_for_odd_quotes(odd):
    began = time.process_time()
    few(odd)
    assert time.process_time() - began < 1
