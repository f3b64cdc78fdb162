"""The images of a step."""

import numpy as np
import pytest

from resnet_ablations.data.batches import batch_indices


@pytest.mark.parametrize(("size", "batch_size"), [(24, 8), (23, 8), (1437, 32), (5, 8), (7, 20), (1, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_epoch_has_each_image_once_also_where_the_batch_does_not_divide_it(
    size: int, batch_size: int, seed: int
) -> None:
    epochs = 5
    steps = -(-epochs * size // batch_size)
    seen = np.concatenate([batch_indices(seed, step, batch_size, size) for step in range(steps)])[: epochs * size]
    orders = seen.reshape(epochs, size)
    assert (np.sort(orders, axis=1) == np.arange(size)).all()
    if size > 20:
        assert len({tuple(order) for order in orders}) == epochs, "another order in each epoch"
