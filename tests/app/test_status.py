"""What operators are told of the service, from its start to its end."""

import json
from dataclasses import dataclass

from authz import __version__
from authz.app.policies.reload import Loader
from authz.app.status import ServiceState
from authz.policy.compile.file import PolicyContext

GOOD = "version: 1\ntools: {get_value: allow}\n"


def load(root):
    return Loader(root, PolicyContext()).first()


def test_it_is_ready_only_between_start_and_drain(policies):
    state = ServiceState(load(policies({"bank.yaml": GOOD})), now=0.0)
    assert state.ready() == (False, "starting")
    state.serving = True
    assert state.ready()[0]
    state.draining = True
    assert state.ready() == (False, "draining")


def test_a_shared_store_that_is_away_degrades_the_service_and_is_told(policies):
    @dataclass
    class Health:
        problem: str

        def describe(self):
            return {"store": "valkey://db/0", "up": not self.problem}

    health = Health("state valkey://db/0: connection refused")
    state = ServiceState(load(policies({"bank.yaml": GOOD})), health, now=0.0)
    state.serving = True
    ready, text = state.ready()
    assert ready
    assert text.startswith("ready but degraded, revision ")
    assert text.splitlines()[1:] == [health.problem]
    assert state.describe()["state"] == {"store": "valkey://db/0", "up": False}
    health.problem = ""
    assert state.ready()[1].startswith("ready, revision ")


def test_an_issuer_without_keys_degrades_the_service_and_is_told(policies):
    @dataclass
    class Health:
        problem: str

        def describe(self):
            return {"corp": {"keys": 0, "problem": "connection refused"}}

    health = Health("identity corp: no keys are known: connection refused")
    state = ServiceState(load(policies({"bank.yaml": GOOD})), None, health, now=0.0)
    state.serving = True
    assert state.ready()[0]
    assert state.ready()[1].splitlines()[1:] == [health.problem]
    assert state.describe()["identity"] == health.describe()
    health.problem = ""
    assert state.ready()[1].startswith("ready, revision ")


def test_everything_that_is_in_force_or_broken_is_described_as_json(policies):
    files = {
        "bank.yaml": GOOD,
        "next.yaml": "version: 1\nserver: bank\nshadow: true\n",
        "baseline.yaml": 'version: 1\nserver: "*"\n',
        "team/shop.yaml": "version: 2\n",
        "x.yml": "",
    }
    loaded = load(policies(files))
    state = ServiceState(loaded, now=0.0)
    state.loaded(loaded, now=1_800_000_000.0)
    described = json.loads(json.dumps(state.describe()))
    assert described["version"] == __version__
    assert described["last_load"] == "2027-01-15T08:00:00+00:00"
    assert described["servers"] == {
        "bank": {"file": "bank.yaml", "state": "in force"},
        "team/shop": {"file": "", "state": "broken"},
    }
    assert (described["baselines"], described["shadows"]) == (["baseline.yaml"], ["next.yaml"])
    assert (described["degraded"], described["kept"]) == (True, "")
    assert {problem["file"] for problem in described["problems"]} == {"team/shop.yaml"}
    assert {warning["file"] for warning in described["warnings"]} >= {"x.yml"}


def test_how_each_file_stands_follows_the_loads(policies):
    loaded = load(policies({"bank.yaml": GOOD, "team/shop.yaml": "version: 2\n"}))
    state = ServiceState(loaded, now=0.0)
    state.loaded(loaded, now=60.0)
    told = json.loads(json.dumps(state.files()))
    assert (told["revision"], told["kept"], told["others"]) == (loaded.policies.revision, "", {})
    assert {file: one["state"] for file, one in told["files"].items()} == {
        "bank.yaml": "accepted",
        "team/shop.yaml": "refused",
    }
    assert {one["since"] for one in told["files"].values()} == {"1970-01-01T00:00:00+00:00"}
