"""Pathfinder made here: its labels, followed dash by dash; its rules; its statistics; threads and order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from s5ref.arrays import Array
from s5ref.data.pathfinder_generator import COLLISION, Drawn, chunks, draw
from s5ref.data.pathfinder_rules import DEGREES, RULES, scaled_down, tables

N = {32: 200, 64: 60, 128: 24, 256: 6}
SIZES = list(N)


@pytest.fixture(scope="module", params=SIZES)
def size(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def drawn(size: int) -> Drawn:
    return draw(0, size, 0, N[size])


def discs(size: int, y: int, x: int) -> Array:
    """A disc as the rules say: drawn on all of an image of twice the size, and scaled down."""
    at_y, at_x = np.ogrid[: 2 * size, : 2 * size]
    inside = (at_y - 2 * y) ** 2 + (at_x - 2 * x) ** 2 <= (2 * RULES[size].marker_radius) ** 2
    return scaled_down(np.where(inside, 255, 0).astype(np.uint8), size)


def placed(picture: Array, size: int, y: int, x: int) -> Array:
    """A picture in an empty image, its middle at (y, x)."""
    reach = picture.shape[0] // 2
    around = np.zeros((size + 4 * reach, size + 4 * reach), np.int64)
    around[y + reach : y + 3 * reach + 1, x + reach : x + 3 * reach + 1] = picture
    return around[2 * reach : -2 * reach, 2 * reach : -2 * reach]


def test_an_image_is_a_function_of_seed_size_and_number(size: int, drawn: Drawn) -> None:
    alone = draw(0, size, 3, 5)
    for ours, theirs in zip(alone, drawn, strict=True):
        np.testing.assert_array_equal(ours, theirs[3:5])
    assert (draw(1, size, 3, 4).images != drawn.images[3]).any()


def test_neither_threads_nor_chunks_matter() -> None:
    many = [np.concatenate([d.images for d in chunks(5, 32, 0, 300, workers)]) for workers in (1, 3)]
    np.testing.assert_array_equal(many[0], many[1])
    assert len(many[0]) == 300
    np.testing.assert_array_equal(many[0][100:110], draw(5, 32, 100, 110).images)


def test_labels_by_following_the_contours(size: int, drawn: Drawn) -> None:
    """In each image: every dash of a contour is drawn; each goes on where the last one ended; and from the
    disc
    at the beginning of a contour one comes to a second disc where the label is 1, and to none where it is 0.
    Both may end at the same pixel, for the last dash of one takes no space: then nobody can tell.
    """
    rules, same_end = RULES[size], 0
    for image, label, margin, origin, chains in zip(*drawn, strict=True):
        image = image.reshape(size, size).astype(int)
        t = tables(size, margin)
        followed = chains[origin]
        brightest = rules.contrast * max(1.0, rules.target_contrast)
        for last, dash in pairwise(followed):
            lit = placed(t.dashes[dash[0]], size, *dash[1:3])
            assert (image + 1 >= lit * rules.contrast * rules.target_contrast / max(brightest, 1.0)).all()
            end = last[1:3] + (t.heads[last[0]] if last[0] < DEGREES else 0)
            begin = dash[1:3] - rules.length * np.array(
                [np.sin(a := np.arctan2(*t.ring[dash[0] - DEGREES])), np.cos(a)]
            )
            assert np.hypot(*(begin - end)) < 2 * margin + 3  # dashes are so far apart, but for rounding
        ends = [chains[0, 0, 1:3], chains[1, 0, 1:3], chains[0, -1, 1:3], chains[1, -1, 1:3]]
        has_disc = []
        for y, x in ends:
            disc = discs(size, y, x)
            has_disc.append(bool((image + 1 >= disc / max(brightest, 1.0)).all()))
        assert has_disc[origin]
        assert has_disc[2 + origin if label else 3 - origin]
        if (ends[2] == ends[3]).all():
            same_end += 1
        else:
            assert not has_disc[3 - origin if label else 2 + origin]
    assert same_end <= 0.03 * N[size]


def test_an_image_is_what_the_rules_draw(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without distractors, to the bit: dashes, discs, also at the edge, their contrast and the range."""
    rules = RULES[size]
    monkeypatch.setitem(RULES, size, rules._replace(distractors=0))
    for image, label, margin, origin, chains in zip(*draw(0, size, 0, N[size] // 2), strict=True):
        t, last = tables(size, margin), origin if label else 1 - origin
        contours = [placed(t.dashes[dash[0]], size, *dash[1:3]) for dash in chains.reshape(-1, 5)]
        ends = [discs(size, *chains[origin, 0, 1:3]), discs(size, *chains[last, -1, 1:3])]
        values = np.maximum(
            np.max(contours, axis=0) * rules.contrast * rules.target_contrast, np.max(ends, axis=0)
        )
        expected = np.floor((values - values.min()) * (255 / (values.max() - values.min())) + 0.5)
        np.testing.assert_array_equal(image.reshape(size, size), expected)


def test_dashes_keep_the_rules(size: int, drawn: Drawn) -> None:
    rules = RULES[size]
    for margin, chains in zip(drawn.margins, drawn.dashes, strict=True):
        t = tables(size, margin)
        apart = np.hypot(*(chains[0, 0, 1:3] - chains[1, 0, 1:3]))
        assert abs(apart - rules.seed_distance) <= 0.75  # rounded to pixels
        first, edge = chains[0, 0], 2 * rules.seed_distance
        footprint = first[1:3] + t.footprints[first[0], : t.footprint_sizes[first[0]]]
        assert edge <= footprint.min() <= footprint.max() < size - edge
        mask = np.full((size, size), 255)
        inside = slice(rules.border, size - rules.border)
        mask[inside, inside] = 0
        for j in range(1, rules.contour):
            for chain in chains:
                last, dash = chain[j - 1], chain[j]
                assert t.weights[last[0], dash[0] - DEGREES] > 0  # no sharp turn
                np.testing.assert_array_equal(dash[3:], last[3:] + t.steps[last[0]])
                np.testing.assert_array_equal(dash[1:3], dash[3:] + t.ring[dash[0] - DEGREES])
                assert (mask + placed(t.masks[dash[0]], size, *dash[1:3])).max() < COLLISION
                mask = np.maximum(mask, placed(t.masks[last[0]], size, *last[1:3]))


@pytest.mark.parametrize(
    ("size", "changed", "n", "mean", "deviation", "share"),
    [
        (32, {}, 200, 0.1090, 0.2278, 0.1735),  # the original generator, run with the numbers of the rules
        (128, {"distractors": 8, "contrast": 0.9}, 60, 0.0311, 0.1402, 0.0405),  # the same, with these
        (64, {}, 8, 0.0633, 0.1738, 0.109),  # images of the Long Range Arena
        (128, {}, 8, 0.0370, 0.1416, 0.052),
    ],
)
def test_statistics_are_those_of_others(
    size: int, changed: dict[str, Any], n: int, mean: float, deviation: float, share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Mean, standard deviation and share above 64 of n images that others made."""
    monkeypatch.setitem(RULES, size, RULES[size]._replace(**changed))
    images = draw(1, size, 0, 200 if size == 32 else 60).images / 255.0
    each, above = images.mean(axis=1), (images > 64.5 / 255).mean(axis=1)
    for ours, theirs in ((each, mean), (above, share)):
        assert abs(ours.mean() - theirs) < 4 * ours.std() * np.sqrt(1 / n + 1 / len(images))
    assert abs(images.std() / deviation - 1) < 0.04


def test_labels_and_beginnings_are_even() -> None:
    found = draw(2, 32, 0, 1000)
    for values in (found.labels, found.origins):
        assert abs(values.mean() - 0.5) < 4 * 0.5 / np.sqrt(1000)


def test_a_contour_is_found_in_the_picture_alone() -> None:
    """Nothing but the pixels: from a disc, ever on to the dash that lies nearest and straightest ahead."""
    found = draw(3, 128, 0, 60)
    answers = [follow(image.reshape(128, 128)) for image in found.images]
    assert np.mean(answers == found.labels) > 0.7


def follow(image: Array) -> bool:
    """Whether the dashes lead from one disc to the other, at 128 pixels, where dashes do not touch."""
    bright, _ = ndimage.label(image >= 240, np.ones((3, 3)))
    sizes = np.bincount(bright.ravel())[1:]
    centres = np.array([np.argwhere(bright == 1 + k).mean(axis=0) for k in np.argsort(-sizes)[:2]])
    parts, count = ndimage.label(image > 100, np.ones((3, 3)))
    dashes = [np.argwhere(parts == 1 + k) for k in range(count)]
    with_disc = [parts[tuple(np.round(centre).astype(int))] - 1 for centre in centres]
    return any(_leads(dashes, centres[k], with_disc[k], with_disc[1 - k]) for k in (0, 1))


def _leads(dashes: list[Array], centre: Array, start: int, goal: int) -> bool:
    first = dashes[start]
    at = first[np.argmax(np.hypot(*(first - centre).T))].astype(float)
    heading = (at - centre) / np.hypot(*(at - centre))
    left = set(range(len(dashes))) - {start}
    for _ in range(14):
        best, chosen = 12.0, None
        for k in left:
            near = np.hypot(*(dashes[k] - at).T)
            if near.min() < best:
                far = dashes[k][np.argmax(near)].astype(float)
                begin = dashes[k][np.argmin(near)].astype(float)
                ahead, along = far - at, (far - begin) / max(1.0, np.hypot(*(far - begin)))
                straight = min(heading @ ahead / np.hypot(*ahead), heading @ along if k != goal else 1.0)
                cost = near.min() + 8 * (1 - straight)
                if straight > 0.2 and cost < best:
                    best, chosen = cost, (k, far, along)
        if chosen is None:
            return False
        if chosen[0] == goal:
            return True
        left.remove(chosen[0])
        _, at, heading = chosen
    return False
