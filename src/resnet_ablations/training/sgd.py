"""The paper's momentum: v ← m·v + lr·(g + wd·w), w ← w − v (Caffe's)."""

import torch


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Change the learning rate of a `torch.optim.SGD` so that its steps go on as Caffe's do.

    Torch keeps b = v / lr and steps by lr·b: at a change of lr it would rescale all past gradients at once. Caffe's v
    holds each gradient times the learning rate of its own step, so b has to become v / lr of the new lr.
    """
    for group in optimizer.param_groups:
        if group["lr"] == learning_rate:
            continue
        for parameter in group["params"]:
            buffer = optimizer.state[parameter].get("momentum_buffer")
            if buffer is not None:
                buffer.mul_(group["lr"] / learning_rate)
        group["lr"] = learning_rate
