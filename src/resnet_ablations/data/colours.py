"""Random changes of training images' colours: the shift of v1, section 3.4, and the jitter of FB's `transforms.lua`."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resnet_ablations.streams import Stream

AXES: Final = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
VARIANCES: Final = np.array([0.2175, 0.0188, 0.0045])
"""Principal components (columns) of ImageNet's colours and their eigenvalues, from FB."""

NO_SHIFT: Final = np.zeros(3, np.float32)

JITTER: Final = 0.4
"""The largest change of the brightness, the contrast and the saturation, from FB."""
BRIGHTNESS, CONTRAST, SATURATION = range(3)
NO_JITTER: Final = np.zeros((0, 2), np.float32)

GREY: Final = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in a grey value."""


def colour_shift(stream: Stream) -> npt.NDArray[np.float32]:
    """Return the random shift of an image's red, green and blue (0 … 1): AlexNet's augmentation.

    The shift along each principal component of ImageNet's colours is its eigenvalue times a draw from N(0, 0.1²).
    """
    shift: npt.NDArray[np.float64] = AXES @ (VARIANCES * stream.normal(0, 0.1, 3))
    return shift.astype(np.float32)


def colour_jitter(stream: Stream) -> npt.NDArray[np.float32]:
    """Return the changes of an image's colours in random order, 3 × 2: which one, and its factor, 0.6 … 1.4."""
    order = stream.order(3)
    factors = stream.uniform(1 - JITTER, 1 + JITTER, 3)
    return np.stack([order, factors], axis=1).astype(np.float32)


def jittered(images: Tensor, jitters: Tensor) -> Tensor:
    """Return images (N × … × 3, in 0 … 1) with their changes of colours, N × changes × 2, applied in order.

    A factor f makes f · image + (1 − f) · other. The other image is black for the brightness, the image's mean grey
    value for the contrast, and the grey image for the saturation. Values may leave 0 … 1.
    """
    each = (-1, *[1] * (images.ndim - 1))
    for change in jitters.unbind(1):
        kind, factor = (values.view(each) for values in change.unbind(1))
        grey = (images * torch.tensor(GREY, device=images.device)).sum(-1, keepdim=True)
        mean = grey.mean(dim=tuple(range(1, images.ndim)), keepdim=True)
        other = torch.where(kind == CONTRAST, mean, grey * (kind == SATURATION))
        images = factor * images + (1 - factor) * other
    return images
