"""Training speed against a plain PyTorch loop, as ratios: `make bench`.

The plain loop is what a tutorial writes: torchvision's CIFAR-10 with PIL transforms, a DataLoader with two workers,
the network in torch's default memory format, one optimizer step a batch. Ours is `resnet_ablations`' own run, through
Lightning. Both train the same network on the same images in the same number of threads; repetitions are interleaved, so
that a machine whose speed drifts slows both; the medians of the repetitions are compared.
"""

import argparse
import pickle
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.data.batches import Batches
from resnet_ablations.data.sources import Images
from resnet_ablations.overrides import compose
from resnet_ablations.results.provenance import usable_cores
from resnet_ablations.training.module import TrainingModule

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


def ours(config: RunConfig, images: Images, iterations: int) -> float:
    """Seconds that our run takes for so many iterations, start-up and evaluation left out."""
    batches = Batches(
        images, pad=4, flip=True, normalisation="per_pixel_mean", batch_size=config.schedule.batch_size, seed=0
    )
    times: list[float] = []
    module = TrainingModule(
        build_network(config),
        config,
        batches,
        record=lambda row: None,
        report_progress=lambda iteration, speed: times.append(time.perf_counter()),
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=config.precision,
        max_steps=iterations + 1,
        accumulate_grad_batches=module.parts,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train_dataloaders=range((iterations + 1) * module.parts))
    return times[-1] - times[0]


def plain(config: RunConfig, images: Images, iterations: int, folder: Path) -> float:
    """Seconds that the plain loop takes for so many iterations, the first one left out."""
    loop = plain_loop(config, images, folder)
    next(loop)
    start = time.perf_counter()
    for _ in range(iterations):
        next(loop)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet110"])
    options = parser.parse_args()
    torch.set_num_threads(usable_cores())
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    images = Images(pixels, generator.integers(0, 10, IMAGES), pixels[:1000], generator.integers(0, 10, 1000))
    table = Table("network", "precision", "plain loop, images/s", "ours, images/s", "ratio", "pairs", box=None)
    for network in options.networks:
        iterations = {"resnet20": 20, "resnet110": 6}.get(network, 10)
        for precision in ("32-true", "bf16-mixed"):
            setting = ["data=cifar10", "data.root=.", "schedule=paper", "bn_batch=128", "trainer=cpu"]
            config = compose([f"network={network}", f"precision={precision}", *setting])
            seconds: list[tuple[float, float]] = []
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(options.repetitions):
                    seconds.append((plain(config, images, iterations, Path(folder)), ours(config, images, iterations)))
            done = iterations * config.schedule.batch_size
            theirs, own = (done / statistics.median(column) for column in zip(*seconds, strict=True))
            ratios = sorted(a / b for a, b in seconds)
            spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
            table.add_row(network, precision, f"{theirs:,.0f}", f"{own:,.0f}", f"{own / theirs:.2f}", spread)
    print(f"batch 128, {usable_cores()} threads, {options.repetitions} interleaved repetitions, medians")
    Console().print(table)


if __name__ == "__main__":
    main()
