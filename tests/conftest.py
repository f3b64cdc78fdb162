import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Command, Starter
from PIL import Image

from resnet_ablations.config import RunConfig
from resnet_ablations.cores import usable_cores
from resnet_ablations.overrides import compose
from resnet_ablations.paths import ROOT

assert ROOT.samefile(Path(__file__).parents[1]), f"another checkout's code is installed, {ROOT}: run `make setup`"
torch.set_num_threads(1)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, here and in the processes that tests start
for place in ("RESNET_ABLATIONS_RESULTS", "RESNET_ABLATIONS_DATA"):
    os.environ.pop(place, None)

TINY = (
    "network.depth=8",
    "schedule.iterations=6",
    "schedule.warmup_iterations=2",
    "schedule.milestones=[4]",
    "schedule.log_every=2",
    "schedule.evaluate_every=4",
    "trainer=cpu",
    "trainer.threads=1",
)


LONGEST_GROUPS = ("faults", "slurm", "warm")
"""The groups of `xdist_group` that take a minute or more, longest first."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return two workers more than there are cores: some workers always wait for a server or for a process to end."""
    return min(6, usable_cores() + 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that one worker runs in sequence first, the longest groups before the others.

    So no worker waits for them at the end. Without --no-loadscope-reorder, xdist sorts groups by their number of tests.
    """

    def place(item: pytest.Item) -> int:
        if (group := item.get_closest_marker("xdist_group")) is None:
            return len(LONGEST_GROUPS) + 1
        name = group.args[0]
        return LONGEST_GROUPS.index(name) if name in LONGEST_GROUPS else len(LONGEST_GROUPS)

    items.sort(key=place)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., RunConfig]:
    """Return a function that composes a run: ResNet-8, six iterations on the digits, results in `tmp_path/results`."""

    def make(*overrides: str) -> RunConfig:
        return compose([*TINY, f"paths.results={tmp_path}/results", f"paths.data={tmp_path}/data", *overrides])

    return make


@pytest.fixture
def failing_reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], bool], int], None]:
    """Return a function that makes reads of the files for which a condition holds fail with an error number."""

    def fail(fails: Callable[[Path], bool], number: int) -> None:
        read = Path.read_bytes

        def guarded(path: Path) -> bytes:
            if fails(path):
                raise OSError(number, os.strerror(number), str(path))
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", guarded)

    return fail


@pytest.fixture
def any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU stand in for a device that has CUDA graphs."""
    for user in ("devices", "trainer"):
        monkeypatch.setattr(f"resnet_ablations.training.{user}.check_compute", lambda run, accelerator: None)


@pytest.fixture(scope="session")
def colours() -> dict[str, tuple[int, int, int]]:
    """The classes of `photos`, and the colour of each class's images."""
    return {"blue": (20, 40, 200), "green": (30, 180, 60), "red": (210, 50, 40)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, colours: dict[str, tuple[int, int, int]]) -> Path:
    """Return a folder in ImageNet's layout.

    It has 3 classes with 9 training and 4 test images each, of many sizes and kinds. Image 3 of each class is grey, 4
    is CMYK, 5 is a PNG named JPEG, 6 has a palette and 7 transparency. Each image has its class's colour with small
    variations, and is brighter towards its right edge.
    """
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 4)):
        for name, colour in colours.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                width, height = generator.integers(20, 60, 2)
                ramp = np.linspace(-15, 15, width)[None, :, None] + 2 * number
                pixels = (np.broadcast_to(np.array(colour), (height, width, 3)) + ramp).clip(0, 255).astype(np.uint8)
                _save_image(Image.fromarray(pixels), root / split / name, number)
    return root


def _save_image(image: Image.Image, folder: Path, number: int) -> None:
    match number:
        case 3:
            image.convert("L").save(folder / "3.JPEG", quality=95)
        case 4:
            image.convert("CMYK").save(folder / "4.JPEG", quality=95)
        case 5:
            image.save(folder / "5.JPEG", "PNG")
        case 6:
            image.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "6.PNG")
        case 7:
            image.putalpha(128)
            image.save(folder / "7.png")
        case _:
            image.save(folder / f"{number}.{('JPEG', 'jpg', 'JPG')[number % 3]}", "JPEG", quality=95, subsampling=0)


@pytest.fixture(scope="session")
def starter() -> Iterator[Starter]:
    """Return the starter of the commands of this session."""
    with Starter() as starting:
        yield starting


@pytest.fixture
def warm_python(
    starter: Starter, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function like `python` whose process has imported everything; it saves seconds for each command."""

    def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        printed = tmp_path_factory.mktemp("printed")
        stdout, stderr = printed / "stdout", printed / "stderr"
        command = Command(starter, *arguments, cwd=cwd, output=stdout, errors=stderr, environment=environment)
        try:
            code = command.wait()
        finally:
            command.end()
        return subprocess.CompletedProcess(arguments, code, stdout.read_text(), stderr.read_text())

    return run


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python ARGUMENTS` in a folder, on one thread; it returns output and exit code."""

    def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run
