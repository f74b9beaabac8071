"""What is committed for Grafana and the Prometheus operator is what the code gives, and fits one screen's grid."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.monitoring import dashboards

BOARD: Mapping[str, Any] = json.loads(dashboards.DASHBOARD.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
COLUMNS = 24


@pytest.mark.parametrize("path", dashboards.files(), ids=lambda path: path.name)
def test_what_is_committed_is_what_the_code_gives(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == dashboards.files()[path], "run `make dashboards`"


def test_every_panel_has_a_place_of_its_own_and_every_row_is_full() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
                assert x < COLUMNS
    assert {panel["title"] for panel in PANELS} == set(taken.values())
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for row in dashboards.ROWS:
        assert sum(panel.width for panel in row.panels) % COLUMNS == 0, row.title


def test_every_panel_says_what_it_shows_and_asks_the_chosen_data_source() -> None:
    for panel in PANELS:
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]


def test_the_operators_rules_are_the_plain_ones() -> None:
    resource = yaml.safe_load(dashboards.OPERATOR.read_text())
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["spec"] == yaml.safe_load(dashboards.RULES.read_text())


def test_promtool_accepts_the_rules() -> None:
    command = ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(dashboards.RULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout
