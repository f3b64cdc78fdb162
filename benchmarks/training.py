"""Training speed against a plain PyTorch loop, as ratios: `make bench`.

The plain loop is what a tutorial writes: torchvision's CIFAR-10 with PIL transforms, a DataLoader with two workers,
the network in torch's default memory format, one optimizer step a batch. Ours is `resnet_ablations`' own run, through
Lightning: as it is by default, channels first, and compiled, which the first step waits for and no measure counts. All
train the same network on the same images in the same number of threads, in float32 and in bf16; repetitions are
interleaved, so that a machine whose speed drifts slows all; medians of the repetitions are compared, each with that of
the plain loop in float32.
"""

import argparse
import pickle
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.images import Images
from resnet_ablations.overrides import compose
from resnet_ablations.results.provenance import usable_cores
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.ranks import ALONE
from resnet_ablations.training.trainer import lightning_trainer, quiet_lightning

IMAGES = 12_800


def plain_loop(config: RunConfig, images: Images, folder: Path) -> Iterator[None]:
    """The tutorial's loop; each `next` is one iteration."""
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ]
    )
    data = in_torchvisions_hands(images, folder, transform)
    loader = DataLoader(data, batch_size=config.schedule.batch_size, shuffle=True, num_workers=2, drop_last=True)
    network = build_network(config)
    schedule = config.schedule
    optimizer = torch.optim.SGD(
        network.parameters(), schedule.learning_rate, schedule.momentum, weight_decay=schedule.weight_decay
    )
    bf16 = config.precision == "bf16-mixed"
    while True:
        for batch, labels in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(network(batch), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def in_torchvisions_hands(images: Images, folder: Path, transform: transforms.Compose) -> CIFAR10:
    """Torchvision's CIFAR10 object over our images, without the check of the real archive's sums."""
    base = folder / CIFAR10.base_folder
    base.mkdir(exist_ok=True)
    names = [name for name, _ in CIFAR10.train_list]
    for name, part in zip(names, np.array_split(np.arange(len(images.train)), len(names)), strict=True):
        rows = images.train[part].transpose(0, 3, 1, 2).reshape(len(part), -1)
        (base / name).write_bytes(pickle.dumps({"data": rows, "labels": images.train_labels[part].tolist()}))
    (base / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({CIFAR10.meta["key"]: [str(i) for i in range(10)]}))

    class Unchecked(CIFAR10):
        meta = CIFAR10.meta | {"md5": None}

        def _check_integrity(self) -> bool:
            return True

    return Unchecked(str(folder), train=True, transform=transform)


def ours(config: RunConfig, images: Images) -> float:
    """Seconds that our run takes for all its iterations but the first and the last."""
    batches = ArrayBatches(
        images, pad=4, flip=True, normalisation="per_pixel_mean", batch_size=config.schedule.batch_size, seed=0
    )
    times: list[float] = []
    module = TrainingModule(
        build_network(config),
        config,
        batches,
        record=lambda row: None,
        after_iteration=lambda iteration: times.append(time.perf_counter()),
    )
    with quiet_lightning():
        trainer = lightning_trainer(config, config.schedule.iterations, ALONE)
        trainer.fit(module, train_dataloaders=range(config.schedule.iterations * module.own_micro_batches))
    # The first iteration starts up, the last one is followed by an evaluation.
    return times[-2] - times[0]


def plain(config: RunConfig, images: Images, folder: Path) -> float:
    """Seconds that the plain loop takes for as many iterations, after a first one."""
    loop = plain_loop(config, images, folder)
    next(loop)
    start = time.perf_counter()
    for _ in range(config.schedule.iterations - 2):
        next(loop)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet110"])
    options = parser.parse_args()
    torch.set_num_threads(usable_cores())
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    images = Images(pixels, generator.integers(0, 10, IMAGES), pixels[:100], generator.integers(0, 10, 100))
    print(f"batch 128, {usable_cores()} threads, medians of {options.repetitions} interleaved repetitions, images/s")
    table = Table("network", "loop", "precision", "images/s", "× plain float32", "pair by pair", box=None)
    for network in track(options.networks, console=Console(stderr=True), transient=True):
        measured = measure(network, images, options.repetitions)
        plain_float32 = measured[PLAIN]
        for name, speeds in measured.items():
            pairs = sorted(speed / base for speed, base in zip(speeds, plain_float32, strict=True))
            ratio = statistics.median(speeds) / statistics.median(plain_float32)
            spread = f"{pairs[0]:.2f}–{pairs[-1]:.2f}"
            table.add_row(network, *name, f"{statistics.median(speeds):,.0f}", f"{ratio:.2f}", spread)
    Console().print(table)


PLAIN = ("plain", "32-true")
OURS = {
    "ours": (),
    "ours, channels first": ("trainer.channels_last=false",),
    "ours, compiled": ("trainer.compile=default",),
}


def measure(network: str, images: Images, repetitions: int) -> dict[tuple[str, str], list[float]]:
    """Images a second of each loop and precision, repetition by repetition; the plain float32 loop comes first."""
    iterations = {"resnet20": 22, "resnet110": 7}.get(network, 12)
    setting = ["data=cifar10", "data.root=.", "schedule=paper", "bn_batch=128", "trainer=cpu"]
    setting += [f"network={network}", f"schedule.iterations={iterations}"]
    speeds: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repetitions):
            for precision in ("32-true", "bf16-mixed"):
                config = compose([*setting, f"precision={precision}"])
                done = (iterations - 2) * config.schedule.batch_size
                speeds.setdefault(("plain", precision), []).append(done / plain(config, images, Path(folder)))
                for name, settings in OURS.items():
                    config = compose([*setting, f"precision={precision}", *settings])
                    speeds.setdefault((name, precision), []).append(done / ours(config, images))
    return speeds


if __name__ == "__main__":
    main()
