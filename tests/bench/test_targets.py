import io

from rich.console import Console

from tests.bench import report
from tests.bench.policies import Shape
from tests.bench.samples import Sample, Samples, Spread
from tests.bench.suites import engine, envoy, flood, transport
from tests.bench.targets import Bound, Judged, Target, judge


def judged(samples: Samples, figure: str) -> Judged:
    (found,) = [one for one in judge(samples) if figure in one.target.figure]
    return found


def transport_round(number: int, memory: float, grpcio: float) -> list[Sample]:
    return [
        Sample(transport.SUITE, transport.MEMORY, transport.RATE, memory, number),
        Sample(transport.SUITE, transport.GRPCIO, transport.RATE, grpcio, number),
    ]


def test_a_run_without_samples_judges_nothing():
    assert {one.met for one in judge(Samples())} == {None}


def test_the_median_of_the_rounds_decides():
    rounds = transport_round(0, 10, 10) + transport_round(1, 31, 10) + transport_round(2, 40, 10)
    found = judged(Samples(rounds), "over a unix socket")
    assert found.found == Spread(1, 3.1, 4)
    assert found.met


def test_what_is_below_a_least_value_is_not_met():
    assert judged(Samples(transport_round(0, 29, 10)), "over a unix socket").met is False


def test_a_most_value_itself_is_met():
    target = Target("x", Bound.AT_MOST, 30, "µs", lambda samples: None)
    assert Judged(target, Spread(29, 30, 31)).met
    assert Judged(target, Spread(29, 30.1, 31)).met is False
    assert target.text == "≤ 30 µs"


def test_each_shape_of_a_policy_has_its_growth():
    variant = f"{Shape.BLOCK.value}, {engine.RECORDED}"
    samples = Samples(Sample(engine.SUITE, variant, engine.P50, value, 0, at) for at, value in ((10, 50), (1000, 60)))
    assert judged(samples, Shape.BLOCK.value).met is False


def test_what_a_service_adds_is_compared_with_what_the_least_adds():
    added = {envoy.OK: 100, envoy.SERVICE: 110}
    samples = Samples(Sample(envoy.SUITE, variant, envoy.ADDED_P50, value) for variant, value in added.items())
    assert judged(samples, "p50 added").found == Spread(1.1, 1.1, 1.1)


def test_a_flood_is_judged_by_memory_and_by_what_others_feel():
    of = flood.Distinct.TOOLS
    figures = {flood.GROWTH: 65.0, flood.P99_BEFORE: 1000.0, flood.P99_DURING: 1900.0}
    samples = Samples(Sample(flood.SUITE, of.value, figure, value) for figure, value in figures.items())
    assert judged(samples, "tool names: memory").met is False
    assert judged(samples, "tool names: p99").met


def test_the_report_shows_each_figure_beside_its_target_and_whether_it_was_met():
    samples = Samples(transport_round(0, 20_000, 10_000) + transport_round(1, 41_000, 10_000))
    text = io.StringIO()
    report.show(samples, Console(file=text, width=200))
    assert "2.00 · 3.05 · 4.10" in text.getvalue()
    assert "≥ 3 ×" in text.getvalue()
    assert "met" in text.getvalue()
    assert "not measured" not in text.getvalue()


def test_the_table_for_a_readme_has_every_target():
    lines = report.markdown(Samples(transport_round(0, 20, 10))).splitlines()
    assert (
        "| calls/s over a unix socket, 64 in flight, over the same on grpc.aio | ≥ 3 × | 2.00 | **not met** |" in lines
    )
    assert "| idle: memory | ≤ 90 MiB |  | not measured |" in lines
