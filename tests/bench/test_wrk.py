import shutil

import pytest

from authz.app.demo import stack
from authz.app.demo.processes import Children
from tests.bench import wrk
from tests.bench.processes import ProgramError
from tests.bench.question import http
from tests.bench.suites import envoy
from tests.support.upstream import ANSWER, Upstream

installed = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is installed by make bench alone")
HERE = frozenset({0})


def test_the_script_sends_the_request_and_knows_the_right_answer(tmp_path):
    text = wrk.script(tmp_path, http(number='"quoted"'), "right\n").read_text()
    assert 'local right = "right\\n"' in text
    assert '["Host"] = "mcp.example"' in text
    assert 'wrk.path = "/mcp"' in text
    assert '\\"id\\": \\"\\\\\\"quoted' in text


def test_without_wrk_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    script = wrk.script(tmp_path, http(), "x")
    with pytest.raises(ProgramError, match=r"^wrk: not installed, expected Debian's package wrk"):
        wrk.run(script, 1, 1, 1, HERE)


@installed
def test_right_answers_are_counted_and_wrong_ones_end_the_run(tmp_path):
    server = Upstream()
    try:
        right = wrk.run(wrk.script(tmp_path, http(), ANSWER.decode()), server.port, 2, 1, HERE)
        assert right.calls > 0
        assert right.wrong == 0
        assert right.p50 > 0
        with pytest.raises(ProgramError, match=r"answers were wrong: expected the upstream's answer, got 200"):
            wrk.run(wrk.script(tmp_path, http(), "something else"), server.port, 2, 1, HERE)
    finally:
        server.close()


def test_one_envoy_has_a_listener_for_each_service_and_one_without(tmp_path):
    sockets = {"always OK": tmp_path / "a", "memory": tmp_path / "b"}
    configuration = envoy.configured(sockets)
    listeners = {one["name"]: stack.connection_manager(one) for one in configuration["static_resources"]["listeners"]}
    assert list(listeners) == [envoy.NONE, "always OK", "memory"]
    asks = {
        name: any(one["name"] == envoy.EXT_AUTHZ for one in manager["http_filters"])
        for name, manager in listeners.items()
    }
    assert asks == {envoy.NONE: False, "always OK": True, "memory": True}
    with Children(tmp_path) as children:
        started = stack.start_envoy(children, configuration, concurrency=1)
        assert set(started.ports) == set(listeners)
