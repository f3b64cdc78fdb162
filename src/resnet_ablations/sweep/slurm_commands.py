"""The commands of SLURM, called with an environment that does not change their answers."""

import os
import re
import signal
import subprocess

ANSWER_SECONDS = 30.0
TIME_IS_UP = signal.SIGUSR2
"""The signal that SLURM sends before a job's time is up."""
CONNECTION = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET")
"""The variables that say where the cluster is and who asks."""
OF_THE_SHELL = re.compile(
    r"(SLURM|SLURMD|SBATCH|SALLOC|SRUN|SQUEUE|SCANCEL|SCONTROL|SACCT|PMI|PMIX|SUBMITIT)_"
    r"|((CUDA|HIP|ROCR)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK|CUDA_MPS_\w+)$"
)
"""The variables that set options of SLURM's commands, or describe the job and the GPUs of this process."""


class SlurmError(Exception):
    """A command of SLURM is missing, fails or does not answer; the message is SLURM's own, in one line."""

    @property
    def is_unanswered(self) -> bool:
        """True if SLURM may still do what the command asked for."""
        return bool(re.search("timed out|does not answer", str(self)))


def slurm(*command: str, seconds: float = ANSWER_SECONDS) -> str:
    """Return the output of a SLURM command; raise `SlurmError` if it is missing, fails or takes longer than `seconds`.

    The command is in its own session, so that Ctrl-C in a terminal does not end it half-way.
    """
    try:
        ended = subprocess.run(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            start_new_session=True,
        )
    except OSError as error:
        raise SlurmError(f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired as error:
        parts = (_one_line(error.stderr), f"{command[0]} does not answer within {seconds:.0f} s")
        raise SlurmError("; ".join(filter(None, parts))) from None
    if ended.returncode:
        raise SlurmError(_one_line(ended.stderr) or f"{command[0]} ends with exit code {ended.returncode}")
    return ended.stdout.decode(errors="replace")


def cluster_settings() -> dict[str, str]:
    """Return the settings of the cluster, such as `MaxArraySize`; raise `SlurmError` if scontrol fails."""
    lines = (line.partition("=") for line in slurm("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def environment() -> dict[str, str]:
    """Return this process's environment without the variables `OF_THE_SHELL`, except those of the `CONNECTION`.

    A job gets the environment of `sbatch`: variables of another job would set its CPUs, memory, tasks and GPUs.
    """
    return {name: value for name, value in os.environ.items() if name in CONNECTION or not OF_THE_SHELL.match(name)}


def _one_line(message: bytes | None) -> str:
    """Return the messages of a command in one line, without the command's name."""
    lines = (message or b"").decode(errors="replace").splitlines()
    own = [re.sub(r"^\w+: (error: |fatal: )?|^\w+ error: ", "", line).strip() for line in lines]
    return "; ".join(dict.fromkeys(line for line in own if line))
