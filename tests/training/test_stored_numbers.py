"""Stored numbers of every stream of a run: orders, crops, flips, windows, colours, initial weights.

They are the same with every NumPy that is allowed. A change of one of them changes all runs. Stored masks are in
`network/test_masks.py`.
"""

import numpy as np
import pytest

from resnet_ablations.build import build_network
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.batches import batch_indices, epoch_order
from resnet_ablations.data.colours import colour_jitter, colour_shift
from resnet_ablations.data.images import Images
from resnet_ablations.data.views import View, scale, scale_aspect_ratio
from resnet_ablations.overrides import compose
from resnet_ablations.streams import Purpose, Stream


def stream() -> Stream:
    return Stream(7, Purpose.AUGMENTATION)


def test_orders_of_images() -> None:
    assert epoch_order(3, 0, 10).tolist() == [6, 1, 8, 5, 2, 7, 9, 4, 3, 0]
    assert epoch_order(3, 1, 10).tolist() == [9, 7, 8, 3, 5, 6, 4, 0, 2, 1]
    assert batch_indices(3, 1, 8, 10).tolist() == [3, 0, 9, 7, 8, 3, 5, 6]


def test_crops_and_flips() -> None:
    nothing = np.zeros((4, 8, 8, 1), np.uint8)
    images = Images(nothing, np.zeros(4, np.int64), nothing, np.zeros(4, np.int64))
    batches = ArrayBatches(images, pad=4, flip=True, normalisation="per_channel", batch_size=6, seed=3)
    assert batches._shifts(5).tolist() == [[3, 2, 0, 7, 1, 4], [0, 7, 8, 6, 1, 8], [0, 0, 0, 0, 1, 0]]


def test_windows_and_colours() -> None:
    view = scale((500, 375), 224, stream())
    assert view.mirrored
    assert view.box == pytest.approx((70.84690553745928, 21.149674620390456, 253.25732899022802, 203.36225596529283))
    assert scale_aspect_ratio((500, 375), 224, stream()) == View((6, 36, 389, 354), (224, 224), True)
    changes = [[2, 1.2221436], [1, 1.2109871], [0, 1.1013256]]
    assert colour_jitter(stream()).tolist() == [pytest.approx(change, rel=1e-6) for change in changes]
    assert colour_shift(stream()).tolist() == pytest.approx([-0.01800644, -0.01670291, -0.01647646], rel=1e-6)


def test_initial_weights() -> None:
    network = build_network(compose(["network.depth=8", "seed=7"]))
    for name, numbers in (
        ("stem.0.weight", [0.07916576, -0.04589923, -0.01249026]),
        ("units.2.branch.3.weight", [0.07259960, 0.00405443, -0.12444811]),
        ("classifier.weight", [0.09457093, 0.07712083, -0.09299917]),
    ):
        weights = network.get_parameter(name).flatten()
        pinned = weights[-3:] if "units" in name else weights[:3]
        assert pinned.tolist() == pytest.approx(numbers, rel=1e-5), name
