import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_wandb import KEY, FakeWandb, serving


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give each test a home folder without a wandb account, and all tests one font cache for matplotlib."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up wandb without a key, and with the address of a server that does not exist."""
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up wandb without a key and without a network."""
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    """Return a fake wandb server, and set a key for it."""
    with serving() as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield fake
