"""The images of a run for Lightning: a `LightningDataModule`, and the batches behind it."""

from collections.abc import Callable, Iterator, Sequence
from typing import final

import pytorch_lightning as pl
from torch import Tensor

from resnet_ablations.config import RunConfig
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.batches import Batches
from resnet_ablations.data.file_batches import FileBatches
from resnet_ablations.data.images import ImageFiles, Images
from resnet_ablations.data.room import check_batch_memory
from resnet_ablations.training.devices import threads_of
from resnet_ablations.training.ranks import ALONE, Ranks


@final
class DataModule(pl.LightningDataModule):
    """The batches of the run with a key, and the numbers of the iterations that are to be trained.

    Lightning's training batch is only the number of an iteration: `TrainingModule` takes its images from `batches`,
    one pass after the other. Lightning's validation batches are test images with labels.
    """

    def __init__(self, key: str, batches: Batches, iterations: Sequence[int]) -> None:
        super().__init__()
        self.key = key
        self.batches = batches
        self._iterations = iterations

    def train_dataloader(self) -> Sequence[int]:
        return self._iterations

    def val_dataloader(self) -> "_TestImages":
        assert self.trainer is not None
        return _TestImages(self.batches.to(self.trainer.strategy.root_device))

    def teardown(self, stage: str) -> None:
        self.batches.close()


class _TestImages:
    """The test set, in batches of images and labels; each iteration begins again."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches.test()


def datamodule(config: RunConfig) -> DataModule:
    """Return the images of a run for a plain `pl.Trainer`; `lightning_module` returns the module that trains on them.

    Raise `UserError` if the images are no longer those of the configuration.
    """
    return DataModule(config.key, load_batches(config), range(config.schedule.iterations))


def load_batches(config: RunConfig, ranks: Ranks = ALONE, stopped: Callable[[], bool] = lambda: False) -> Batches:
    """Return the batches of a run: from arrays if the data set is in memory, else from files decoded in training.

    Raise `UserError` if the images are no longer those of the configuration. Each machine may have its own copy of the
    images: the first rank of each machine compares streamed images, and every rank compares others.
    """
    data, schedule, share = config.data, config.schedule, ranks.share
    match data.load(verify=ranks.local_rank == 0):
        case Images() as images:
            batches = ArrayBatches(
                images,
                pad=data.augmentation.pad,
                flip=data.augmentation.flip,
                normalisation=data.normalisation,
                batch_size=schedule.batch_size,
                seed=config.seed,
                share=share,
            )
            batches.check()
            return batches
        case ImageFiles() as files:
            check_batch_memory(files.crop, config.bn_batch)
            return FileBatches(
                files,
                batch_size=schedule.batch_size,
                seed=config.seed,
                iterations=schedule.iterations,
                workers=config.trainer.workers or threads_of(config),
                share=share,
                stopped=stopped,
            )
