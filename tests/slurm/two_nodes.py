"""A SLURM of two nodes, both on this machine, with its own key, ports and state, and without accounting."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

NODES = (socket.gethostname(), f"{socket.gethostname()}-2")
"""The names of the nodes. The first in order is the name of this machine; jobs on several nodes meet there."""
DAEMONS = ("munged", "slurmctld", *(f"slurmd-{name}" for name in NODES))

CONFIGURATION = """\
ClusterName=two-nodes
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it begins again: 120 s unless said, 5 s at least.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
JobRequeue=1
MaxArraySize=3
ReturnToService=2
KillWait=5
MinJobAge=5
NodeName={host} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_ports[0]} CPUs={cpus} RealMemory={megabytes}
NodeName={host}-2 NodeHostname={host} NodeAddr=127.0.0.1 Port={node_ports[1]} CPUs={cpus} RealMemory={megabytes}
PartitionName=all Nodes={host} Default=YES MaxTime=60
PartitionName=both Nodes={host},{host}-2 MaxTime=60
"""


class TwoNodes:
    """Its daemons run while it is entered; they and every job end with the process that entered it, however that ends.

    Jobs run on the first node, as on a cluster of one, or where they ask for the partition `both`.

    A job gets SIGKILL 5 s after SIGTERM and begins again 6 s after it was requeued: SLURM allows nothing shorter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))
        } | {"SLURM_CONF": f"{folder}/slurm.conf"}
        for name in ("state", *NODES):
            (folder / name).mkdir()
        (folder / "munge.key").touch(mode=0o600)
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        controller_port, *node_ports = free_ports(3)
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname(),
                folder=folder,
                controller_port=controller_port,
                node_ports=node_ports,
                cpus=os.cpu_count(),
                megabytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
            ),
            encoding="utf-8",
        )

    def __enter__(self) -> "TwoNodes":
        self._keeper = subprocess.Popen(
            [sys.executable, __file__, self.folder],
            stdin=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,  # Ctrl-C is for the tests
        )
        try:
            self._wait_until_idle(seconds=60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.communicate()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Return the output of a command with this SLURM in its environment; with `check`, the command must succeed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)} ends with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def queue(self) -> dict[str, str]:
        """Return the states (PENDING, RUNNING, COMPLETING, …) of the jobs and array tasks in the queue, by id."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i %T").stdout.splitlines()
        return dict(line.split() for line in lines)

    def begin_now(self, job: str) -> None:
        """Start a job that is being requeued about 1.5 s after it is pending; SLURM's own delay is over 5 s."""
        while self.queue()[job] != "PENDING":
            time.sleep(0.05)
        time.sleep(1.1)  # within the second of its end, the node takes it for the one that it has just killed
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def logs(self) -> str:
        """Return the last lines of each daemon's log."""
        return "\n".join(
            f"{name}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            for name in DAEMONS
            if (log := self.folder / f"{name}.log").exists()
        )

    def _wait_until_idle(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        asked = ("sinfo", "--noheader", "--partition=both", "--format=%D %T")
        while (state := self.run(*asked, check=False)).stdout.strip() != "2 idle":
            if time.monotonic() > deadline:
                raise RuntimeError(f"SLURM is not idle: {state.stdout}{state.stderr}\n{self.logs()}")
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Return unused ports."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def keep(folder: Path) -> None:
    """Run the daemons of the folder until standard input ends; then kill them and all their descendants."""
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)  # orphans, as jobs are, become its children
    signal.signal(signal.SIGCHLD, reap)
    munged = [
        "munged",
        "--foreground",
        "--force",  # a temporary folder may be closed to others
        f"--socket={folder}/munge.socket",
        *(f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "seed")),
    ]
    nodes = (["slurmd", "-D", "-N", name] for name in NODES)
    for name, command in zip(DAEMONS, (munged, ["slurmctld", "-D"], *nodes), strict=True):
        with (folder / f"{name}.log").open("wb") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        while name == "munged" and not (folder / "munge.socket").exists():
            time.sleep(0.01)
    sys.stdin.read()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while found := children():
        for child in found:
            os.kill(child, signal.SIGKILL)
        os.wait()


def reap(*_: object) -> None:
    """Reap every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def children() -> list[int]:
    """Return the processes whose parent is this process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid():
            found.append(int(status.parent.name))
    return found


def missing() -> bool:
    """Return whether this machine cannot run SLURM: a daemon is missing, or the user is not root."""
    return os.getuid() != 0 or not all(shutil.which(name) for name in ("munged", "slurmctld", "slurmd"))


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
