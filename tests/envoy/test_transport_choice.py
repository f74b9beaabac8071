"""Which transport is taken, and what is said where the wanted one is not there."""

from __future__ import annotations

import logging
import sys

import pytest

from authz.envoy.limits import Limits
from authz.envoy.service import Methods
from authz.envoy.transport import Transport, carrier
from authz.errors import SettingsError

NOTHING = Methods({}, {})


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform for which there is no wheel."""
    monkeypatch.setitem(sys.modules, "pygrpc_native", None)
    monkeypatch.delitem(sys.modules, "authz.envoy.transport_native", raising=False)


def taken(wanted: Transport) -> str:
    return type(carrier(wanted, NOTHING, Limits())).__name__


async def test_auto_takes_native_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert taken(Transport.AUTO) == "Native"
    assert caplog.messages == ["transport: native, pygrpc-native is installed"]


@pytest.mark.parametrize(("wanted", "name"), [(Transport.NATIVE, "Native"), (Transport.GRPCIO, "Grpcio")])
async def test_what_is_set_is_taken(wanted: Transport, name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert taken(wanted) == name
    assert caplog.messages == [f"transport: {wanted}, so set"]


@pytest.mark.interpreted
@pytest.mark.usefixtures("no_wheel")
async def test_without_a_wheel_auto_takes_grpcio_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    assert taken(Transport.AUTO) == "Grpcio"
    assert caplog.messages == [
        "transport: grpcio, pygrpc-native is not installed: import of pygrpc_native halted; None in sys.modules"
    ]


@pytest.mark.interpreted
@pytest.mark.usefixtures("no_wheel")
async def test_without_a_wheel_native_is_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        carrier(Transport.NATIVE, NOTHING, Limits())
    assert str(refused.value) == (
        "transport: expected auto or grpcio where pygrpc-native is not installed, got 'native': "
        "import of pygrpc_native halted; None in sys.modules"
    )


async def test_where_others_can_connect_auto_takes_the_one_that_limits_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert type(carrier(Transport.AUTO, NOTHING, Limits(), local=False)).__name__ == "Grpcio"
    assert caplog.messages == ["transport: grpcio, others can connect from beyond this machine"]
