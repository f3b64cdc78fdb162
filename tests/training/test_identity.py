"""A run belongs to the content of its images: it is neither reused nor resumed with others."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from signalled import stopped_at

from resnet_ablations.config import RunConfig, identifying_data_once, validate
from resnet_ablations.data.batches import Share
from resnet_ablations.data.image_folder import ImageFolder
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.sweep.planning import plan
from resnet_ablations.training.ranks import Ranks
from resnet_ablations.training.run import load_batches, train_run

Config = Callable[..., RunConfig]
Composed = Callable[[Path], RunConfig]

KINDS = {
    "imagenet": ("data=imagenet", "data.classes=2", "data.crop=8", "trainer.workers=1"),
    "image_folder": ("data=image_folder", "data.classes=2", "data.shape=[8,8,3]"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path, kind: str) -> Path:
    """Return a folder of two classes with eight training images and one test image each."""
    root = tmp_path / "images"
    for split, count in (("train", 8), ("val" if kind == "imagenet" else "test", 1)):
        for grey, name in ((60, "dark"), (180, "light")):
            for number in range(count):
                path = root / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (grey, grey, grey + 5 * number)).save(path, compress_level=0)
    return root


@pytest.fixture
def composed(config: Config, kind: str) -> Composed:
    return lambda root: config(*KINDS[kind], f"data.root={root}", "schedule.batch_size=8", "bn_batch=8")


def overwrite(root: Path) -> None:
    """Overwrite every image with a red one of the same name, size in bytes and modification time."""
    for number, file in enumerate(root.rglob("*.png")):
        before = file.stat()
        Image.new("RGB", (8, 8), (200 + number, 0, 0)).save(file, compress_level=0)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.stat().st_size == before.st_size


def refusal(action: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    (message,) = caught.value.messages
    return message


def not_those(run: RunConfig, root: Path) -> str:
    return f"data.root={root}: its images are not those of this run (fingerprint "


def test_a_copy_is_the_same_run_and_other_images_under_its_names_are_another(
    composed: Composed, root: Path, tmp_path: Path
) -> None:
    run = composed(root)
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    assert composed(copy).key == run.key
    overwrite(copy)
    assert composed(copy).key != run.key == composed(root).key
    assert composed(copy).folder.result() is None


def test_images_that_change_before_the_training(composed: Composed, root: Path) -> None:
    run = composed(root)
    overwrite(root)
    message = refusal(lambda: train_run(run))
    assert message.startswith(not_those(run, root))
    assert message.endswith("start a new run, or use the images for which the configuration was made")
    status = run.folder.status()
    assert status is not None
    assert (status.outcome, status.reason, status.killed) == ("failed", message, False)
    assert composed(root).key != run.key


def test_images_that_change_before_a_run_resumes(
    composed: Composed, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts the run: a command with `frozen`, or a process of a sweep or of SLURM. Nothing is lost."""
    run = composed(root)
    stopped_at(monkeypatch, run, 2)
    shutil.copytree(root, tmp_path / "before")
    overwrite(root)
    files = sorted(path.name for path in run.folder.path.glob("checkpoint-*"))
    assert refusal(lambda: compose([f"frozen='{run.folder.config}'"])).startswith(not_those(run, root))
    frozen = yaml.safe_load(run.folder.config.read_text())
    for again in (run, validate(frozen, identify_data=False)):
        assert refusal(lambda again=again: train_run(again)).startswith(not_those(run, root))  # type: ignore[misc]
    assert sorted(path.name for path in run.folder.path.glob("checkpoint-*")) == files != []
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "before", root)
    result = train_run(compose([f"frozen='{run.folder.config}'"]))
    assert result is not None
    assert result.key == run.key


def test_the_images_of_each_machine_are_compared(composed: Composed, root: Path, kind: str) -> None:
    """Each may have its own copy. A sample of streamed images costs a reading, so one rank of a machine reads it."""
    run = composed(root)
    overwrite(root)
    for rank, local_rank in ((0, 0), (1, 1), (2, 0)):
        ranks = Ranks(Share(rank, 4), local_rank)
        if kind == "imagenet" and local_rank > 0:
            load_batches(run, ranks).close()
        else:
            assert refusal(lambda ranks=ranks: load_batches(run, ranks)).startswith(not_those(run, root))  # type: ignore[misc]


def test_a_fingerprint_of_an_older_version(composed: Composed, root: Path) -> None:
    """It was that of the names; the run is not continued with images that nobody has compared."""
    run = composed(root)
    older = run.as_dict()
    older["data"] |= {"fingerprint": "0123456789abcdef"}
    if older["data"]["_target_"].endswith("ImageNet"):
        del older["data"]["cache"]
    assert "they were 0123456789abcdef)" in refusal(lambda: validate(older))


def test_a_plan_reads_the_images_once_and_a_process_reads_them_again(
    composed: Composed, root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for source in (ImageNet, ImageFolder):
        taken = source.fingerprint
        monkeypatch.setattr(source, "fingerprint", lambda self, taken=taken: asked.append(kind) or taken(self))
    plan([*KINDS[kind], f"data.root={root}", "network=resnet20,resnet32", "seed=0,1,2"])
    assert len(asked) == 1
    with identifying_data_once():
        first = composed(root)
        overwrite(root)
        assert composed(root).key == first.key
    assert composed(root).key != first.key


def test_the_command_line(
    composed: Composed,
    root: Path,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warm_python: Callable[..., Any],
) -> None:
    run = composed(root)
    stopped_at(monkeypatch, run, 2)
    overwrite(root)
    ended = warm_python("-m", "resnet_ablations.train", f"frozen={run.folder.config}", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {not_those(run, root)}")
    assert len(ended.stderr.splitlines()) == 1
    assert sys.executable not in ended.stdout
