"""A short run of `make fuzz`: the same cases each time, from the same seed."""

from collections import Counter

import pytest

from tests.fuzz.__main__ import run
from tests.fuzz.targets import TARGETS, run_case


def test_some_thousand_hostile_streams_break_nothing():
    done = run(12_000, seed=2)
    assert done.total() >= 12_000
    assert set(done) == {target.__name__ for target, _ in TARGETS}


def test_a_case_is_the_same_each_time():
    assert [run_case(3, number) for number in range(40)] == [run_case(3, number) for number in range(40)]


def test_a_failing_case_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch):
    def fails_at_seven(seed: int, number: int) -> tuple[str, int]:
        if number == 7:
            raise ValueError("a defect")
        return "any", 1

    monkeypatch.setattr("tests.fuzz.__main__.run_case", fails_at_seven)
    with pytest.raises(AssertionError, match="--seed 5 --only 7"):
        run(100, seed=5)
    assert run(6, seed=5) == Counter(any=6)
