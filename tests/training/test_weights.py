"""The weights that a finished run keeps, and the network that they give again."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock  # type: ignore[import-untyped]

import resnet_ablations as ra
from resnet_ablations import evaluate
from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_folder import Result
from resnet_ablations.sweep.estimates import disk_bytes
from resnet_ablations.training.run import train_run
from resnet_ablations.training.trained import trained_run
from resnet_ablations.training.weights import MOST_BYTES, keeps_weights, weights_digest

Config = Callable[..., RunConfig]

RUNS = (
    ("shortcut=exclusive_gating", "seed=1"),
    ("precision=bf16-mixed", "shortcut=dropout", "bn_batch=32"),
    ("bn_statistics=averaged", "trainer.channels_last=false"),
)


def trained(run: RunConfig) -> Result:
    result = train_run(run)
    assert result is not None
    return result


@pytest.mark.parametrize("overrides", RUNS, ids=[run[0] for run in RUNS])
def test_the_kept_network_has_the_weights_and_the_error_of_the_run(config: Config, overrides: tuple[str, ...]) -> None:
    run = config(*overrides)
    result = trained(run)
    network = ra.load_network(run.folder.path)
    assert not network.training
    assert weights_digest(network) == result.weights
    assert evaluate.evaluate(run.folder) == (result.test_error, result.test_error)


def test_changed_weights_have_another_error(config: Config) -> None:
    """So the test above sees the weights, and not the recorded error twice."""
    run = config("schedule.iterations=30", "schedule.milestones=[20]")
    trained(run)
    state = torch.load(run.folder.weights, weights_only=True)
    state["classifier.weight"] = -state["classifier.weight"]
    torch.save(state, run.folder.weights)
    network = ra.build_network(run)
    network.load_state_dict(state)
    recorded = json.loads((run.folder.path / "result.json").read_text())
    (run.folder.path / "result.json").write_text(json.dumps(recorded | {"weights": weights_digest(network)}))
    before, here = evaluate.evaluate(run.folder)
    assert here > before + 20


def test_large_weights_are_kept_only_if_the_user_says_so() -> None:
    small, large = (torch.nn.Linear(MOST_BYTES // 4 + more, 1, bias=False) for more in (0, 1))
    assert [keeps_weights(setting, small) for setting in (None, True, False)] == [True, True, False]
    assert [keeps_weights(setting, large) for setting in (None, True, False)] == [False, True, False]


def test_a_run_without_weights_says_how_to_get_them(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run = config("trainer.keep_weights=false")
    trained(run)
    assert not run.folder.weights.exists()
    with pytest.raises(ra.UserError, match=r"weights were not kept; remove the run .* with trainer.keep_weights=true"):
        ra.load_network(run.folder.path)


def test_a_diverged_run_keeps_no_weights(config: Config) -> None:
    run = config("schedule.learning_rate=1e30", "schedule.warmup_learning_rate=1e30")
    assert trained(run).outcome == "diverged"
    assert not run.folder.weights.exists()
    with pytest.raises(ra.UserError, match="no finished run"):
        ra.load_network(run.folder.path)


def test_weights_of_an_earlier_training_do_not_stay(config: Config) -> None:
    run = config()
    trained(run)
    run.folder.result_file.unlink()
    trained(config("trainer.keep_weights=false"))
    assert not run.folder.weights.exists()


def swapped(run: RunConfig, other: RunConfig) -> None:
    shutil.copy(other.folder.weights, run.folder.weights)


def cut(run: RunConfig, other: RunConfig) -> None:
    run.folder.weights.write_bytes(run.folder.weights.read_bytes()[:1000])


def empty(run: RunConfig, other: RunConfig) -> None:
    run.folder.weights.write_bytes(b"")


def no_state(run: RunConfig, other: RunConfig) -> None:
    torch.save([1, 2], run.folder.weights)


def misleading(run: RunConfig, other: RunConfig) -> None:
    run.folder.weights.write_bytes(b"\x80\x02)R.")  # a call without a function: an `IndexError` of torch


class Dangerous:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("touched"),)


def code(run: RunConfig, other: RunConfig) -> None:
    torch.save(Dangerous(), run.folder.weights)


@pytest.mark.parametrize(
    "damage", [swapped, cut, empty, no_state, misleading, code], ids=lambda damage: damage.__name__
)
def test_other_weights_are_refused(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[RunConfig, RunConfig], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    run, other = config("schedule.iterations=2", "schedule.milestones=[]"), config("seed=1")
    for each in (run, other):
        trained(each)
    damage(run, other)
    with pytest.raises(ra.UserError, match=r"weights.pt: not the weights of this run \(.+\); remove the run and") as e:
        ra.load_network(run.folder.path)
    assert len(e.value.messages) == 1
    assert "\n" not in e.value.messages[0]
    assert not Path("touched").exists()


def test_an_unknown_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ra.UserError, match="no finished run; resnet-ablations status lists the runs"):
        ra.load_network(tmp_path / "results" / "runs" / "no-such-run-s0")
    with pytest.raises(ra.UserError, match=r"^~nobody-here/runs/x: starts with the home folder of an unknown user"):
        ra.load_network("~nobody-here/runs/x")


def test_another_configuration_is_refused(config: Config) -> None:
    """Also where no tensor tells the networks apart."""
    run = config("shortcut=constant_scaling", "shortcut.shortcut_scale=0.5", "shortcut.residual_scale=0.5")
    trained(run)
    text = run.folder.config.read_text()
    run.folder.config.write_text(text.replace("shortcut_scale: 0.5", "shortcut_scale: 2.0"))
    with pytest.raises(ra.UserError, match=r"config.yaml: the configuration of .+, not of this run"):
        ra.load_network(run.folder.path)
    run.folder.config.write_text(text.replace("paths:", "other:"))
    with pytest.raises(ra.UserError, match=r"config.yaml: does not fit this version \(.+\); train the run again"):
        ra.load_network(run.folder.path)
    run.folder.config.write_text("[")
    with pytest.raises(ra.UserError, match=r"its result does not count: config.yaml is no YAML: .+; train the run"):
        ra.load_network(run.folder.path)
    run.folder.config.write_text(text)
    run.folder.weights.unlink()
    run.folder.weights.mkdir()
    with pytest.raises(ra.UserError, match=r"weights.pt: cannot be read: Is a directory"):
        ra.load_network(run.folder.path)


def test_a_result_without_a_machine_is_tested_again_all_the_same(config: Config) -> None:
    run = config()
    result = trained(run)
    (run.folder.path / "result.json").write_text(result.model_copy(update={"provenance": {}}).model_dump_json())
    with trained_run(run.folder) as again:
        assert again.test_error(again.network) == result.test_error


def test_a_moved_results_folder_gives_its_own_network(config: Config, tmp_path: Path) -> None:
    run = config()
    result = trained(run)
    (tmp_path / "results").rename(tmp_path / "moved")
    (tmp_path / "results").write_text("another file")
    assert weights_digest(ra.load_network(tmp_path / "moved" / "runs" / run.key)) == result.weights


@pytest.mark.parametrize("path", ["/x", "results/KEY", "results/archive/KEY"])
def test_a_path_that_is_no_runs_folder_is_one_line(path: str) -> None:
    with pytest.raises(ra.UserError, match=r"not the folder of a run; name results/runs/KEY"):
        ra.load_network(path)


def test_the_plan_counts_the_weights_that_are_kept(config: Config) -> None:
    kept, dropped = (disk_bytes([config(f"trainer.keep_weights={keep}")], 1) for keep in ("true", "false"))
    trained(run := config())
    assert kept - dropped == pytest.approx(run.folder.weights.stat().st_size, rel=0.02)


def test_runs_are_tested_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = trained(config())
    missing = config("seed=1", "trainer.keep_weights=false")
    trained(missing)
    monkeypatch.setattr("sys.argv", ["evaluate", "*", f"--results={tmp_path}/results"])
    with pytest.raises(SystemExit) as end:
        evaluate.main()
    printed, errors = capsys.readouterr()
    assert end.value.code == 2
    assert errors.startswith(f"error: {missing.folder.path}: its weights were not kept")
    assert printed.split("\n")[1].split() == [result.key, f"{result.test_error:.2f}", "%", "the", "same"]


class TheirOptionA(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))


class TheirResNet20(nn.Module):
    """ResNet-20 made of torchvision's blocks, with option A."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, width in enumerate((16, 32, 64), start=1):
            first = BasicBlock(16, 16) if stage == 1 else BasicBlock(width // 2, width, 2, TheirOptionA())
            setattr(self, f"layer{stage}", nn.Sequential(first, BasicBlock(width, width), BasicBlock(width, width)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def test_weights_of_other_people_load_as_the_guide_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    theirs = TheirResNet20()
    images = torch.randn(16, 3, 32, 32)
    theirs(images)  # running statistics that are not the initial ones
    torch.save({"state_dict": {f"module.{name}": value for name, value in theirs.state_dict().items()}}, "resnet20.th")
    guide = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.+?)```", guide, re.DOTALL) if "resnet20.th" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    with torch.no_grad():
        torch.testing.assert_close(names["network"](images), theirs.eval()(images), rtol=0, atol=2e-6)
