from tests.bench import plots
from tests.bench.policies import Shape
from tests.bench.samples import Sample, Samples
from tests.bench.suites import engine, parts, scale, transport


def run() -> Samples:
    found = Samples()
    for round_ in range(3):
        for shape in Shape:
            for size in engine.SIZES:
                variant = f"{shape.value}, {engine.RECORDED}"
                found.add(Sample(engine.SUITE, variant, engine.P50, 20 + size / 100 + round_, round_, size))
        for variant in scale.VARIANTS:
            for step in scale.STEPS:
                found.add(Sample(scale.SUITE, variant, transport.RATE, 1000 * step, round_, step))
        found.add(Sample(transport.SUITE, transport.MEMORY, transport.CPU, 60, round_))
        for part in parts.PARTS:
            found.add(Sample(parts.SUITE, part, parts.CPU, 5, round_))
    return found


def test_three_plots_are_drawn_and_the_same_samples_give_the_same_files(tmp_path):
    first = plots.draw(run(), tmp_path / "a")
    again = plots.draw(run(), tmp_path / "b")
    assert [path.name for path in first] == [
        "bench-latency-against-rules.svg",
        "bench-calls-against-in-flight.svg",
        "bench-cpu-per-call.svg",
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert all(plots.GROUND in path.read_text() for path in first), "they read in light and in dark"


def test_what_was_not_measured_is_not_drawn(tmp_path):
    assert plots.draw(Samples(), tmp_path) == []
