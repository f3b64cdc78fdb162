"""The paper's momentum, which is Caffe's: v ← m·v + lr·(g + wd·w), w ← w − v.

Nesterov's momentum, also in Caffe's form: the same v, and w ← w − (m·v + lr·(g + wd·w)).
"""

import torch


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of a `torch.optim.SGD` and rescale its momentum buffers, so that its update is Caffe's.

    torch keeps b = v / lr and updates w by lr·b (with Nesterov's momentum, by lr·(g + wd·w + m·b)), fused or not.
    Caffe's v contains each gradient times the learning rate of that gradient's iteration. At a change of lr, torch
    alone would rescale all past gradients; b becomes v / lr with the new lr instead.
    """
    for group in optimizer.param_groups:
        if group["lr"] == learning_rate:
            continue
        for parameter in group["params"]:
            buffer = optimizer.state[parameter].get("momentum_buffer")
            if buffer is not None:
                buffer.mul_(group["lr"] / learning_rate)
        group["lr"] = learning_rate
