"""Windows of images against sizes computed by hand, and against torchvision."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as reference  # type: ignore[import-untyped]

from resnet_ablations.data import views
from resnet_ablations.data.views import View, central, cut, scale, scale_aspect_ratio, scaled, ten, whole
from resnet_ablations.streams import Purpose, Stream


def picture(width: int, height: int) -> Image.Image:
    """Return a smooth image: a shift by a fraction of a pixel is visible, rounding is not."""
    down, across = np.mgrid[:height, :width]
    channels = [np.sin(across / 7 + down / 11), np.cos(across / 5), np.sin(down / 6 - across / 13)]
    return Image.fromarray((127 + 120 * np.stack(channels, axis=-1)).astype(np.uint8))


def drawn(
    view: Callable[[tuple[int, int], int, Stream], View], size: tuple[int, int], crop: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (count × 4) of so many draws, and which of them are mirrored."""
    stream = Stream(1, Purpose.AUGMENTATION)
    seen = [view(size, crop, stream) for _ in range(count)]
    return np.array([view.box for view in seen]), np.array([view.mirrored for view in seen])


@pytest.mark.parametrize(
    ("crop", "expected"), [(224, (256, 320, 480)), (64, (73, 91, 137)), (32, (37, 46, 69)), (1, (1, 1, 2))]
)
def test_sizes_go_with_the_crop(crop: int, expected: tuple[int, ...]) -> None:
    assert tuple(scaled(crop, shorter) for shorter in (256, 320, 480)) == expected


def test_the_central_view_by_hand() -> None:
    assert central((100, 50), 25, 10) == View((40.0, 16.0, 60.0, 36.0), (10, 10))  # columns 20–30, rows 8–18 of 50×25
    assert central((50, 100), 25, 11) == View((14.0, 40.0, 36.0, 62.0), (11, 11))  # columns 7–18, rows 20–31 of 25×50
    assert central((8, 8), 16, 16) == View((0.0, 0.0, 8.0, 8.0), (16, 16))


def resized(image: Image.Image, shorter: int) -> Image.Image:
    return reference.resize(image, shorter, reference.InterpolationMode.BICUBIC)


SIZES = [(91, 60), (60, 91), (75, 75), (33, 200), (201, 32), (20, 21)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("shorter", "crop"), [(36, 32), (46, 46), (73, 64), (37, 32)])
def test_the_central_view_against_torchvision(size: tuple[int, int], shorter: int, crop: int) -> None:
    image = picture(*size)
    expected = np.asarray(reference.center_crop(resized(image, shorter), crop), int)
    np.testing.assert_allclose(cut(image, central(size, shorter, crop)).astype(int), expected, atol=2)


@pytest.mark.parametrize("size", SIZES)
def test_ten_views_against_torchvision(size: tuple[int, int]) -> None:
    image, (shorter, crop) = picture(*size), (44, 40)
    ours = [cut(image, view).astype(int) for view in ten(size, shorter, crop)]
    theirs = [np.asarray(view, int) for view in reference.ten_crop(resized(image, shorter), crop)]
    # Torchvision cuts the mirrored image, so left and right change places, and its centre may lie a pixel off.
    for mine, other in zip(range(9), (0, 1, 2, 3, 4, 6, 5, 8, 7), strict=True):
        np.testing.assert_allclose(ours[mine], theirs[other], atol=2, err_msg=f"{mine}")
    np.testing.assert_array_equal(ours[9], ours[4][:, ::-1])
    assert len(ours) == 10


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_image_against_torchvision(size: tuple[int, int]) -> None:
    image = picture(*size)
    plain, mirrored = (cut(image, view) for view in whole(size, 44))
    assert min(plain.shape[:2]) == 44
    np.testing.assert_allclose(plain.astype(int), np.asarray(resized(image, 44), int), atol=2)
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


def test_a_view_is_a_window_of_the_resized_image() -> None:
    """The crop is right at every position, also mirrored."""
    stream = Stream(0, Purpose.AUGMENTATION)
    for size in SIZES:
        image = picture(*size)
        for _ in range(8):
            view = scale(size, 32, stream)
            side = int(size[0] > size[1])
            whole = resized(image, round(32 * min(size) / (view.box[side + 2] - view.box[side])))
            left, upper = round(view.box[0] * whole.width / size[0]), round(view.box[1] * whole.height / size[1])
            expected = whole.crop((left, upper, left + 32, upper + 32))
            if view.mirrored:
                expected = reference.hflip(expected)
            np.testing.assert_allclose(cut(image, view).astype(int), np.asarray(expected, int), atol=2)


@pytest.mark.parametrize("size", [(480, 480), (480, 960), (960, 480)])
def test_scale_draws_every_shorter_side_and_every_place(size: tuple[int, int]) -> None:
    boxes, mirrored = drawn(scale, size, 224, 6000)
    widths = boxes[:, 2] - boxes[:, 0]
    np.testing.assert_allclose(widths, boxes[:, 3] - boxes[:, 1])
    shorter = np.rint(224 * 480 / widths).astype(int)
    np.testing.assert_allclose(widths, 224 * 480 / shorter)
    assert set(shorter) == set(range(256, 481))
    assert np.bincount(shorter)[256:].max() < 60, "none oftener than the others"
    assert (boxes >= 0).all()
    assert (boxes[:, [2, 3]] <= size).all()
    for side, (first, last) in enumerate([(0, 2), (1, 3)]):
        room = size[side] - widths
        places = boxes[:, first] / room
        assert places.min() == 0
        assert boxes[:, last].max() == size[side]
        np.testing.assert_allclose(np.quantile(places, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)
    assert abs(mirrored.mean() - 0.5) < 0.03


def test_scale_of_a_smaller_crop() -> None:
    boxes, _ = drawn(scale, (137, 200), 64, 2000)
    shorter = np.rint(64 * 137 / (boxes[:, 2] - boxes[:, 0]))
    assert (shorter.min(), shorter.max()) == (73, 137)


@pytest.mark.parametrize("size", [(1000, 1000), (1000, 700), (350, 500)])
def test_scale_aspect_ratio_draws_areas_and_ratios(size: tuple[int, int]) -> None:
    boxes, mirrored = drawn(scale_aspect_ratio, size, 224, 6000)
    np.testing.assert_array_equal(boxes, np.rint(boxes), "whole pixels")
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (boxes >= 0).all()
    assert (boxes[:, [2, 3]] <= size).all()
    fractions, ratios = widths * heights / (size[0] * size[1]), widths / heights
    assert 0.078 < fractions.min() < 0.09
    assert 0.9 < fractions.max() <= 1
    assert 0.74 < ratios.min() < 0.77
    assert 1.3 < ratios.max() < 1.35
    small = fractions < 0.4  # these fit wherever they lie, so that nothing was drawn again
    np.testing.assert_allclose(np.quantile(fractions[small], 0.5), 0.24, atol=0.01)
    assert abs((ratios[small] > 1).mean() - 0.5) < 0.03, "as often wide as high"
    for side, extent, first in ((0, widths, 0), (1, heights, 1)):
        places = (boxes[:, first] / np.maximum(size[side] - extent, 1))[small]
        np.testing.assert_allclose(np.quantile(places, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.04)
    assert abs(mirrored.mean() - 0.5) < 0.03


def test_the_central_crop_replaces_a_window_that_does_not_fit() -> None:
    boxes, mirrored = drawn(scale_aspect_ratio, (1000, 10), 5, 200)
    np.testing.assert_array_equal(boxes, np.tile([496.0, 0.0, 506.0, 10.0], (200, 1)))  # of 500×5 from column 248 on
    assert 0 < mirrored.sum() < 200


def test_a_window_that_does_not_fit_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    once = scale_aspect_ratio((300, 200), 32, Stream(4, Purpose.AUGMENTATION))
    monkeypatch.setattr(views, "ATTEMPTS", 1)
    central_ones = sum(
        scale_aspect_ratio((300, 200), 32, Stream(seed, Purpose.AUGMENTATION)).box == (50.0, 0.0, 250.0, 200.0)
        for seed in range(300)
    )
    monkeypatch.setattr(views, "ATTEMPTS", 10)
    assert 20 < central_ones < 200
    assert once == scale_aspect_ratio((300, 200), 32, Stream(4, Purpose.AUGMENTATION))
    boxes, _ = drawn(scale_aspect_ratio, (300, 200), 32, 300)
    assert (boxes == [50.0, 0.0, 250.0, 200.0]).all(axis=1).sum() < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2), (5000, 7)])
@pytest.mark.parametrize("view", [scale, scale_aspect_ratio])
def test_images_of_any_size_can_be_cut(
    view: Callable[[tuple[int, int], int, Stream], View], size: tuple[int, int]
) -> None:
    image, stream = picture(*size), Stream(0, Purpose.AUGMENTATION)
    for chosen in [view(size, 16, stream) for _ in range(20)] + ten(size, 18, 16) + [central(size, 16, 16)]:
        assert cut(image, chosen).shape == (16, 16, 3)
