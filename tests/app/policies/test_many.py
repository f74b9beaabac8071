"""Many policies: a mistake stays where it is, only what changed is compiled, and calls have their turn meanwhile."""

import asyncio
import gc
import weakref

import pytest

from authz.app.policies import reload
from authz.app.policies.beside import beside
from authz.app.policies.reload import Loader, Watcher
from authz.app.serve import loading
from authz.model import TargetKind
from authz.policy.compile import policies as compiling
from authz.policy.compile.file import PolicyContext
from tests.support.many_policies import policy_text, server_name, tool_name, write_policies

SERVERS, TOOLS = 40, 10


@pytest.fixture
def many(tmp_path, monkeypatch):
    monkeypatch.setattr(reload, "_YOUNG_NS", 0)
    write_policies(tmp_path, SERVERS, TOOLS)
    return tmp_path


@pytest.fixture
def compiled(monkeypatch) -> list[str]:
    """The files that were compiled, in order."""
    files: list[str] = []
    real = compiling.compile_file

    def note(file, *rest):
        files.append(file)
        return real(file, *rest)

    monkeypatch.setattr(compiling, "compile_file", note)
    return files


def loader(root) -> Loader:
    return Loader(root, PolicyContext())


def test_the_policies_of_the_set_load_without_a_problem_or_a_warning(many):
    loaded = loader(many).first()
    assert (loaded.policies.problems, loaded.policies.warnings) == ((), ())
    assert list(loaded.policies.policies) == [server_name(number) for number in range(SERVERS)]
    tools = loaded.policies.policies[server_name(7)].sections[TargetKind.TOOL]
    assert set(tools.exact) == {tool_name(number) for number in range(TOOLS)}


def test_a_mistake_in_one_of_many_stops_that_one_alone(many):
    text = policy_text(7, TOOLS).replace("minimum: 1", "minimun: 1", 1)
    (many / f"{server_name(7)}.yaml").write_text(text)
    policies = loader(many).first().policies
    assert policies.broken == {server_name(7)}
    assert len(policies.policies) == SERVERS - 1
    place = "tools.get_account_0.arguments.properties.limit.minimun"
    assert [str(problem) for problem in policies.problems] == [
        f"server-0007.yaml:12:32: {place}: unknown keyword; did you mean minimum?"
    ]


def test_of_many_files_only_the_one_that_changed_is_compiled(many, compiled):
    one = loader(many)
    current = one.first().policies
    assert len(compiled) == SERVERS
    compiled.clear()
    (many / f"{server_name(3)}.yaml").write_text(policy_text(3, TOOLS, version=100))
    loaded = one.again(current)
    assert loaded is not None
    assert compiled == [f"{server_name(3)}.yaml"]
    changed = [name for name, policy in loaded.policies.policies.items() if policy is not current.policies[name]]
    assert changed == [server_name(3)]


def test_a_mistake_that_comes_later_keeps_the_last_good_version_of_that_file(many):
    one = loader(many)
    current = one.first().policies
    (many / f"{server_name(3)}.yaml").write_text(policy_text(3, TOOLS).replace("deny", "dny"))
    loaded = one.again(current)
    assert loaded is not None
    assert loaded.policies.policies[server_name(3)] is current.policies[server_name(3)]
    assert {problem.file for problem in loaded.policies.problems} == {f"{server_name(3)}.yaml"}


async def test_the_loop_has_its_turn_while_many_policies_compile(many):
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def load() -> int:
        with loading():
            loader(many).first()
        return turns

    counting = asyncio.create_task(count())
    try:
        during = await beside(load)
    finally:
        counting.cancel()
    assert during > SERVERS  # in truth thousands: more than one between two files


@pytest.mark.interpreted
async def test_what_was_replaced_is_freed_one_after_the_other(many, monkeypatch):
    freed: list[str] = []
    real = reload._drop

    def drop(replaced):
        freed.append("begin")
        real(replaced)

    def watch() -> Watcher:
        one = loader(many)
        current = one.first().policies
        for policy in current.policies.values():
            weakref.finalize(policy.sections[TargetKind.TOOL], freed.append, policy.server)
        return Watcher(one, current, lambda _: None, lambda _: None)

    monkeypatch.setattr(reload, "_drop", drop)
    watcher = watch()  # nobody else holds the policies
    for number in (3, 5):
        (many / f"{server_name(number)}.yaml").write_text(policy_text(number, TOOLS, version=100))
    await watcher._load(settle=False)
    gc.collect()
    assert sorted(freed) == ["begin", server_name(3), server_name(5)]
    assert freed[0] == "begin"  # not by the swap, on the loop
