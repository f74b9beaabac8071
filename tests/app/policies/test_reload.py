"""Directories that change under a running service: what is noticed, what comes into force and what stays."""

import asyncio
import contextlib
import logging
import os
import time

import pytest

from authz.app.policies import reload
from authz.app.policies.directory import owners_for_service
from authz.app.policies.reload import Loader, Watcher
from authz.errors import PolicyError
from authz.policy.compile.file import PolicyContext

GOOD = "version: 1\ntools:\n  get_value: allow\n"
OTHER = "version: 1\ntools:\n  get_value: deny\n"
BROKEN = "version: 1\ntols: {}\n"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Files written by a test are as old as any others."""
    monkeypatch.setattr(reload, "_YOUNG_NS", 0)


def loader(root) -> Loader:
    return Loader(root, PolicyContext(), owners=owners_for_service())


def texts(loaded) -> list[str]:
    return [str(problem) for problem in loaded.policies.problems]


# --------------------------------------------------------------------------------------------------- the first load


def test_the_first_load_gives_the_policies_and_their_warnings(policies):
    loaded = loader(policies({"bank.yaml": GOOD, "shop.yml": GOOD})).first()
    assert list(loaded.policies.policies) == ["bank"]
    assert [str(warning) for warning in loaded.policies.warnings] == [
        "shop.yml: is not read: the name of a policy file ends in .yaml"
    ]


def test_a_broken_file_does_not_stop_its_neighbours(policies):
    loaded = loader(policies({"bank.yaml": GOOD, "shop.yaml": BROKEN})).first()
    assert list(loaded.policies.policies) == ["bank"]
    assert loaded.policies.broken == {"shop"}
    assert texts(loaded)[0].startswith("shop.yaml:2:1: tols: ")


def test_a_file_that_may_not_be_used_counts_as_broken_with_one_problem(policies):
    root = policies({"bank.yaml": GOOD, "shop.yaml": GOOD})
    (root / "shop.yaml").chmod(0o666)
    loaded = loader(root).first()
    assert loaded.policies.broken == {"shop"}
    assert texts(loaded) == [
        "shop.yaml: may be written by anybody (mode 0666), expected no write permission for others"
    ]


def test_where_nothing_loads_the_start_is_refused_with_every_problem(policies):
    root = policies({"bank.yaml": BROKEN, "shop.yaml": BROKEN})
    with pytest.raises(PolicyError) as caught:
        loader(root).first()
    assert {problem.file for problem in caught.value.problems} == {"bank.yaml", "shop.yaml"}


def test_a_baseline_that_does_not_load_stops_the_start(policies):
    with pytest.raises(PolicyError):
        loader(policies({"bank.yaml": GOOD, "baseline.yaml": BROKEN})).first()


def test_an_empty_directory_and_one_that_is_not_there_stop_the_start(policies):
    root = policies({})
    with pytest.raises(PolicyError, match=r"policies: expected policy files \(\*\.yaml\), got none$"):
        loader(root).first()
    with pytest.raises(PolicyError, match=r"no: cannot be read: no such file or directory$"):
        loader(root / "no").first()


# ------------------------------------------------------------------------------------------------------- and again


def test_an_unchanged_directory_is_not_loaded_again(policies):
    one = loader(policies({"bank.yaml": GOOD}))
    current = one.first().policies
    assert not one.changed()
    assert one.again(current) is None


def test_an_edit_is_seen_and_comes_into_force(policies):
    one = loader(policies({"bank.yaml": GOOD}))
    current = one.first().policies
    policies({"bank.yaml": OTHER})
    assert one.changed()
    loaded = one.again(current)
    assert loaded is not None
    assert loaded.kept == ""
    assert loaded.policies.revision != current.revision


def test_an_edit_within_one_tick_of_the_clock_is_seen_by_its_content(policies, monkeypatch):
    monkeypatch.setattr(reload, "_YOUNG_NS", 2_000_000_000)
    one = loader(policies({"bank.yaml": GOOD}))
    current = one.first().policies
    monkeypatch.setattr(one, "_stamp", ())
    policies({"bank.yaml": OTHER})
    monkeypatch.setattr(one, "_stamp", one.looks())  # as if the file system could not tell the two apart
    assert one.changed()
    assert one.again(current) is not None


def test_a_mistake_keeps_the_last_good_version_of_its_file_and_takes_the_others_new_one(policies):
    one = loader(policies({"bank.yaml": GOOD, "shop.yaml": GOOD}))
    current = one.first().policies
    policies({"bank.yaml": BROKEN, "shop.yaml": OTHER})
    loaded = one.again(current)
    assert loaded is not None
    assert loaded.policies.policies["bank"] is current.policies["bank"]
    assert loaded.policies.policies["shop"] is not current.policies["shop"]
    assert loaded.policies.degraded


def test_a_baseline_that_comes_broken_keeps_everything_as_it_was(policies):
    one = loader(policies({"bank.yaml": GOOD}))
    current = one.first().policies
    policies({"bank.yaml": OTHER, "baseline.yaml": BROKEN})
    loaded = one.again(current)
    assert loaded is not None
    assert loaded.kept == "what is there cannot be used"
    assert loaded.policies.policies == current.policies
    assert texts(loaded)[0].startswith("baseline.yaml:")


def test_an_emptied_directory_keeps_the_last_good_policies_and_is_told_of_once(policies):
    one = loader(policies({"bank.yaml": GOOD}))
    current = one.first().policies
    root = policies({"bank.yaml": None})
    assert one.changed()
    loaded = one.again(current)
    assert loaded is not None
    assert loaded.policies.policies == current.policies
    assert texts(loaded) == [f"{root}: expected policy files (*.yaml), got none"]
    assert not one.changed()
    assert one.again(loaded.policies) is None


def test_a_directory_that_is_gone_keeps_the_last_good_policies_until_it_is_back(policies):
    root = policies({"bank.yaml": GOOD})
    one = loader(root)
    current = one.first().policies
    root.rename(root.with_name("away"))
    assert one.changed()
    loaded = one.again(current)
    assert loaded is not None
    assert loaded.policies.policies == current.policies
    assert texts(loaded) == [f"{root}: cannot be read: no such file or directory"]
    assert not one.changed()
    root.with_name("away").rename(root)
    assert one.changed()
    back = one.again(loaded.policies)
    assert back is not None
    assert not back.policies.degraded
    assert back.policies.revision == current.revision


def test_half_a_swap_is_never_taken_for_a_directory(policies, monkeypatch):
    root = policies({"bank.yaml": GOOD, "shop.yaml": GOOD})
    one = loader(root)
    real = reload.read_directory
    reads = []

    def read_and_swap(path, **how):
        directory = real(path, **how)
        if not reads:
            policies({"bank.yaml": OTHER, "shop.yaml": OTHER})
        reads.append(directory)
        return directory

    monkeypatch.setattr(reload, "read_directory", read_and_swap)
    one.first()
    assert len(reads) == 2
    assert reads[-1].files["bank.yaml"] == OTHER.encode()


# ------------------------------------------------------------------------------------------------------ the watcher


@contextlib.asynccontextmanager
async def watching(root, **times):
    one = loader(root)
    current = one.first().policies
    swapped: list[object] = []
    told: asyncio.Queue = asyncio.Queue()
    watcher = Watcher(one, current, swapped.append, told.put_nowait, **{"interval": 0.01, "settle": 0.0, **times})
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher, swapped, told
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def soon(told):
    return await asyncio.wait_for(told.get(), 5)


async def logged(caplog, text):
    async with asyncio.timeout(5):
        while text not in caplog.text:
            await asyncio.sleep(0)


async def test_the_watcher_swaps_after_an_edit_and_tells_of_it(policies):
    async with watching(policies({"bank.yaml": GOOD})) as (_, swapped, told):
        policies({"bank.yaml": OTHER})
        loaded = await soon(told)
        assert swapped == [loaded.policies]


async def test_the_watcher_notices_the_swap_of_a_config_map(config_map):
    async with watching(config_map({"bank.yaml": GOOD})) as (_, swapped, told):
        config_map({"bank.yaml": OTHER, "shop.yaml": GOOD})
        loaded = await soon(told)
        assert sorted(loaded.policies.policies) == ["bank", "shop"]
        assert swapped == [loaded.policies]


async def test_the_watcher_loads_at_once_when_asked(policies):
    async with watching(policies({"bank.yaml": GOOD}), interval=3600.0) as (watcher, _, told):
        policies({"bank.yaml": OTHER})
        watcher.ask()
        assert (await soon(told)).kept == ""


async def test_asked_for_nothing_new_the_watcher_says_so(policies, caplog):
    caplog.set_level(logging.INFO)
    async with watching(policies({"bank.yaml": GOOD}), interval=3600.0) as (watcher, swapped, _):
        watcher.ask()
        await logged(caplog, "nothing has changed")
        assert swapped == []


async def test_the_watcher_outlives_a_look_that_fails(policies, monkeypatch, caplog):
    async with watching(policies({"bank.yaml": GOOD})) as (_, _, told):
        real = Loader.changed
        monkeypatch.setattr(Loader, "changed", lambda _: 1 // 0)
        await logged(caplog, "looking for changes failed")
        assert (await soon(told)).kept == "looking for changes failed"
        monkeypatch.setattr(Loader, "changed", real)
        while not told.empty():
            told.get_nowait()
        policies({"bank.yaml": OTHER})
        assert (await soon(told)).kept == ""


async def test_a_file_that_is_still_being_written_is_waited_for(policies, monkeypatch):
    root = policies({"bank.yaml": GOOD})
    looks = 0
    real = Loader.looks

    def written_meanwhile(self):
        nonlocal looks
        looks += 1
        if looks <= 3:
            (root / "bank.yaml").write_text(OTHER[: 10 * looks])
        else:
            (root / "bank.yaml").write_text(OTHER) if looks == 4 else None
        return real(self)

    async with watching(root, interval=3600.0) as (watcher, _, told):
        monkeypatch.setattr(Loader, "looks", written_meanwhile)
        await watcher._load(settle=True)
        loaded = await soon(told)
        assert not loaded.policies.degraded


# --------------------------------------------------------------------------------------------------------- the words


def test_the_log_says_what_is_wrong_in_the_words_of_the_problems(policies, caplog):
    caplog.set_level(logging.INFO)
    loaded = loader(policies({"bank.yaml": GOOD, "shop.yaml": BROKEN, "x.yml": ""})).first()
    reload.log_load(loaded)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == texts(loaded)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        str(warning) for warning in loaded.policies.warnings
    ]
    assert f"policies: revision {loaded.policies.revision} in force, degraded" in caplog.text


def test_the_log_says_why_old_policies_are_kept(policies, caplog):
    one = loader(policies({"bank.yaml": GOOD}))
    current = one.first().policies
    policies({"bank.yaml": None})
    loaded = one.again(current)
    assert loaded is not None
    reload.log_load(loaded)
    assert f"policies: kept revision {current.revision}: expected policy files (*.yaml), got none" in caplog.text


def test_looking_at_a_thousand_files_is_cheap(tmp_path):
    for number in range(1000):
        (tmp_path / f"server{number}.yaml").write_text(GOOD)
    one = Loader(tmp_path, PolicyContext())
    one._stamp = one.looks()
    started = time.thread_time()
    for _ in range(5):
        assert not one.changed()
    # Twice a second that must stay far below one percent of a core; ten times what was measured.
    assert (time.thread_time() - started) / 5 < 0.05
    os.utime(tmp_path / "server7.yaml")
    assert one.changed()
