"""Rows of a study: what is common to all of them."""

import pytest

from reweight.storage.rowfile import check_settings


def test_settings_with_tuples_are_those_of_an_earlier_run_and_others_are_refused_in_a_short_sentence(tmp_path):
    plans = {"cells": [(step, block) for step in range(50) for block in range(7)]}
    check_settings(tmp_path, {"plans": plans})
    check_settings(tmp_path, {"plans": plans})
    with pytest.raises(ValueError, match="rows made with plans") as error:
        check_settings(tmp_path, {"plans": {"cells": []}})
    assert len(str(error.value)) < 600
