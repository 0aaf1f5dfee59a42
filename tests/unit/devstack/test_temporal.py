"""The dev server takes the production cluster's dynamic configuration."""

from pathlib import Path

import yaml

from devstack.temporal import dynamic_config_values

FILE = Path(__file__).parents[3] / "temporal-config" / "dynamic-config.yaml"


def test_every_key_becomes_a_flag_value():
    text = FILE.read_text(encoding="utf-8")
    values = dynamic_config_values(text)
    assert values.keys() == yaml.safe_load(text).keys()
    assert values["history.transferProcessorMaxPollRPS"] == 500
    assert values["matching.enableFairness"] is True
    assert values["matching.numTaskqueueReadPartitions"] == 1


def test_a_value_for_some_queues_is_the_same_for_all_of_them():
    for key, entries in yaml.safe_load(FILE.read_text(encoding="utf-8")).items():
        assert len({entry["value"] for entry in entries}) == 1, f"{key}: the dev server cannot tell queues apart"


def test_every_key_says_why():
    lines = FILE.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line and line[0].isalpha():
            assert lines[number - 1].startswith("# "), line
