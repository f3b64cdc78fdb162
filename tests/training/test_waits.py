"""Waits for decoding processes: they end, with a reason, whatever happens to the processes."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from observing import wait_until
from PIL import Image

from resnet_ablations.config import RunConfig
from resnet_ablations.data import file_batches, waiting
from resnet_ablations.data.waiting import DecoderKilled, lost_decoder
from resnet_ablations.errors import UserError
from resnet_ablations.results.run_folder import Status
from resnet_ablations.settings import DataSettings
from resnet_ablations.training import stopping
from resnet_ablations.training.ranks import RankFailed, RankKilled
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted, StopRequest

Config = Callable[..., RunConfig]
Decode = Callable[[Path], Image.Image]

IN_TIME = 40.0
"""Seconds: far below the limit of a wait, and enough on a busy machine."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return images in ImageNet's layout: two classes, 16 training images and one test image each."""
    for split, count in (("train", 16), ("val", 1)):
        for name in ("a", "b"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (24, 24), (15 * number, 200 if name == "a" else 20, 90))
                image.save(tmp_path / "images" / split / name / f"{number:02}.png")
    return tmp_path / "images"


@pytest.fixture
def run(config: Config, root: Path) -> RunConfig:
    images = ("data=imagenet", f"data.root={root}", "data.classes=2", "data.crop=16", "trainer.workers=2")
    return config(*images, "schedule.batch_size=8", "bn_batch=8", "schedule.log_every=1")


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[Decode], None]:
    """Replaces the decoding of the images of which the loader asks from the fourth step on."""

    def replace(instead: Decode) -> None:
        decode = file_batches.decode_rgb
        asked = multiprocessing.get_context("fork").Value("i", 0)

        def counted(path: Path) -> Image.Image:
            with asked.get_lock():
                asked.value += 1
                late = asked.value > 3 * 8
            return instead(path) if late else decode(path)

        monkeypatch.setattr(file_batches, "decode_rgb", counted)

    return replace


def ends(number: int) -> Decode:
    def end(path: Path) -> Image.Image:
        os.kill(os.getpid(), number)
        time.sleep(60)
        raise AssertionError

    return end


def hangs(path: Path) -> Image.Image:
    time.sleep(600)
    raise AssertionError


def status_of(run: RunConfig) -> Status:
    status = run.folder.status()
    assert status is not None
    return status


def test_a_killed_decoder_is_a_killed_run(run: RunConfig, decoding: Callable[[Decode], None]) -> None:
    """So that a sweep tries it again."""
    decoding(ends(signal.SIGKILL))
    began = time.monotonic()
    with pytest.raises(RankKilled, match="a decoding process was killed by signal 9"):
        train_run(run)
    assert time.monotonic() - began < IN_TIME
    status = status_of(run)
    assert (status.outcome, status.killed) == ("failed", True)
    assert "killed by signal 9" in status.reason
    assert "Traceback" not in run.folder.log.read_text()


def test_a_bus_error_is_too_little_shared_memory(run: RunConfig, decoding: Callable[[Decode], None]) -> None:
    decoding(ends(signal.SIGBUS))
    with pytest.raises(UserError, match=r"shared memory \(/dev/shm, .* MB free\) is too small .* --shm-size=.* lower"):
        train_run(run)
    status = status_of(run)
    assert (status.outcome, status.killed) == ("failed", False)


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, ConnectionRefusedError, EOFError])
@pytest.mark.parametrize(
    ("ending", "expected", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGBUS), UserError, "is too small"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), DecoderKilled, "was killed by signal 9"),
        (lambda: os._exit(3), DecoderKilled, "ended unexpectedly"),
    ],
)
def test_a_connection_that_closes_before_its_process_has_ended(
    error: type[Exception], ending: Callable[[], None], expected: type[Exception], words: str
) -> None:
    """A process that is killed closes its files first: the exit code comes a moment after the error."""
    with pytest.raises(expected, match=words):
        next(waiting.Waiting[int](_Closing(error("connection closed"), ending), lambda: False))


def test_an_error_of_a_process_that_goes_on_is_kept() -> None:
    with pytest.raises(PermissionError, match="0001"):
        next(waiting.Waiting[int](_Closing(PermissionError("0001.png"), lambda: time.sleep(60)), lambda: False))


class _Closing:
    """A loader whose connection to its one process closes, and whose process ends 0.3 seconds later."""

    def __init__(self, error: Exception, ending: Callable[[], None]) -> None:
        self._error = error
        self._workers = [multiprocessing.get_context("fork").Process(target=self._end, args=(ending,))]
        self._workers[0].start()

    @staticmethod
    def _end(ending: Callable[[], None]) -> None:
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        time.sleep(0.3)
        ending()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        raise self._error


def test_a_wait_has_a_limit(
    run: RunConfig, decoding: Callable[[Decode], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LIMIT_SECONDS", 2.0)
    decoding(hangs)
    began = time.monotonic()
    with pytest.raises(RankFailed, match="gave no batch for 2 seconds; see whether the file system"):
        train_run(run)
    assert time.monotonic() - began < IN_TIME
    assert (status_of(run).outcome, status_of(run).killed) == ("failed", False)


def test_a_suspended_run_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scontrol suspend`, or Ctrl-Z: the clock goes on, and the decoding processes are well."""
    answers: Iterator[Any] = iter([RuntimeError("DataLoader timed out after 0.5 seconds"), 7])

    class Loader:
        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            answer = next(answers)
            if isinstance(answer, Exception):
                monkeypatch.setattr(time, "monotonic", lambda: later)
                raise answer
            return int(answer)

    later = time.monotonic() + 3600
    assert next(waiting.Waiting[int](Loader(), lambda: False)) == 7


def test_a_stop_is_heard_while_a_batch_is_awaited(
    run: RunConfig, decoding: Callable[[Decode], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last complete step has a checkpoint, and the run goes on from there to the same end."""
    monkeypatch.setattr(waiting, "STOP_SECONDS", 0.5)
    with monkeypatch.context():
        decoding(hangs)
        timer = threading.Timer(6.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
        timer.start()
        began = time.monotonic()
        with pytest.raises(Interrupted) as stopped:
            train_run(run)
        timer.cancel()
    assert stopped.value.signal == signal.SIGTERM
    assert time.monotonic() - began < IN_TIME
    done = run.folder.resumable_from()
    assert done is not None
    assert 1 <= done <= 3
    assert status_of(run).outcome == "interrupted"
    monkeypatch.undo()
    resumed = train_run(run)
    run.folder.result_file.unlink()
    whole = train_run(run)
    assert resumed is not None
    assert whole is not None
    assert resumed.weights == whole.weights


@pytest.mark.parametrize("passes", ["bn_batch=4", "bn_batch=8"])
def test_a_stop_before_the_first_batch(
    run: RunConfig, config: Config, root: Path, monkeypatch: pytest.MonkeyPatch, passes: str
) -> None:
    """There is nothing to keep."""
    monkeypatch.setattr(waiting, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(file_batches, "decode_rgb", hangs)
    run = config(
        "data=imagenet", f"data.root={root}", "data.classes=2", "data.crop=16", "schedule.batch_size=8", passes
    )
    timer = threading.Timer(3.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(Interrupted):
        train_run(run)
    timer.cancel()
    assert (status_of(run).outcome, run.folder.resumable_from()) == ("interrupted", None)


def test_a_stop_while_images_are_loaded(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding a folder and reading its fingerprint may take minutes, before the first step."""
    run = config()

    def slow(self: DataSettings, **_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        pytest.fail("the signal was not heard")

    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(DataSettings, "load", slow)
    with pytest.raises(Interrupted):
        train_run(run)
    assert status_of(run).outcome == "interrupted"


def test_an_alarm_of_the_program_that_trains_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test runners and other programs have alarms of their own, and a process has only one."""
    rung: list[str] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append("own"))
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.05)
    stop = StopRequest(signal.SIGTERM)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with stop, stop.interrupting():
            wait_until(lambda: rung == ["own"])  # without a stop signal, the alarm is not touched
        signal.setitimer(signal.ITIMER_REAL, 100, 7)
        with stop, pytest.raises(Interrupted), stop.interrupting():
            _stopped_while_busy()
        delay, interval = signal.setitimer(signal.ITIMER_REAL, 0)
        assert 99 < delay < 100
        assert interval == 7
        signal.raise_signal(signal.SIGALRM)
        assert rung == ["own", "own"]
    finally:
        signal.signal(signal.SIGALRM, before)


def _stopped_while_busy() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def test_a_handler_of_another_language_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    set_handler = signal.signal

    def unknown(number: int, handler: Any) -> Any:
        set_handler(number, handler)  # refuses None, as Python does
        return None

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(signal, "signal", unknown)
    with StopRequest(signal.SIGTERM) as stop, stop.interrupting():
        os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.undo()
    for number, handler in zip((signal.SIGTERM, signal.SIGALRM), before, strict=True):
        signal.signal(number, handler)


# Shared memory

SMALL = 'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'


def in_small_shared_memory(size: str, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    mounted = ["unshare", "--mount", "sh", "-c", SMALL.format(size=size), "sh"]
    return subprocess.run([*mounted, *command], capture_output=True, text=True, timeout=300, **options)


def can_mount() -> bool:
    try:
        return os.geteuid() == 0 and in_small_shared_memory("1m", "true").returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_mount(), reason="needs root, to mount a small /dev/shm")
@pytest.mark.parametrize("size", ["4k", "2m"])
def test_shared_memory_that_is_too_small(root: Path, tmp_path: Path, size: str) -> None:
    """Too small for the queues of the processes, or for the images of a batch."""
    ended = in_small_shared_memory(
        size,
        *(sys.executable, "-m", "resnet_ablations.train", "network=resnet20", "data=imagenet", f"data.root={root}"),
        *(
            "data.classes=2",
            "data.crop=128",
            "trainer=cpu",
            "trainer.workers=2",
            "schedule.batch_size=32",
            "bn_batch=32",
        ),
        *(f"paths.results={tmp_path}/results", f"paths.data={tmp_path}/data", "schedule.iterations=4"),
        cwd=tmp_path,
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: shared memory (/dev/shm, ")
    assert "--shm-size" in errors[0]
    assert "trainer.workers" in errors[0]
    assert "Traceback" not in ended.stdout + ended.stderr
    (key,) = (tmp_path / "results/runs").iterdir()
    assert '"outcome":"failed"' in (key / "status.json").read_text()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENOSPC])
def test_processes_that_cannot_be_started(run: RunConfig, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The first process, or a later one, does not start; the processes before it end."""
    fork, calls = os.fork, []

    def no_process() -> int:
        calls.append(1)
        if len(calls) > number % 2:
            raise OSError(number, os.strerror(number))
        return fork()

    monkeypatch.setattr(os, "fork", no_process)
    with pytest.raises(UserError) as caught:
        train_run(run)
    (message,) = caught.value.messages
    assert "\n" not in message
    assert "trainer.workers" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DataLoader worker (pid 12) is killed by signal: Killed. ", "killed by signal 9"),
        ("DataLoader worker (pid 12) is killed by signal: Segmentation fault. ", "killed by signal 11"),
        ("DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that …", "shared memory (/dev/shm"),
        ("DataLoader worker (pid(s) 12, 13) exited unexpectedly", "ended unexpectedly"),
        ("Too many open files. Communication with the workers is no longer possible.", "ulimit -n"),
        ("received 0 items of ancillary data", "ulimit -n"),
        ("received 0 items of ancdata", "ulimit -n"),
        ("CUDA error: an illegal memory access was encountered", None),
    ],
)
def test_torchs_errors_for_its_processes(text: str, expected: str | None) -> None:
    reason = lost_decoder(RuntimeError(text))
    assert (reason is None) if expected is None else (expected in str(reason))
