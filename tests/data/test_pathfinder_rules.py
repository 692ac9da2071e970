"""The numbers of Pathfinder and its dashes, held against Pillow, whose rasteriser and filter they follow."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref.data.pathfinder_rules import (
    DEGREES,
    RULES,
    candidates,
    disc,
    lanczos,
    line,
    scaled_down,
    step,
    tables,
)

EVERY = [(size, margin) for size, rules in RULES.items() for margin in sorted(set(rules.margins))]


@pytest.mark.parametrize(("n_in", "n_out"), [(17, 9), (41, 21), (64, 32), (256, 128)])
def test_scaling_down_is_pillows_to_the_bit(n_in: int, n_out: int) -> None:
    image_module = pytest.importorskip(
        "PIL.Image", reason="holds ours against Pillow, which is not installed"
    )
    rng = np.random.default_rng(n_in)
    for share in (0.05, 0.5):
        image = np.where(rng.random((n_in, n_in)) < share, 255, rng.integers(0, 256, (n_in, n_in))).astype(
            np.uint8
        )
        theirs = image_module.fromarray(image).resize((n_out, n_out), image_module.Resampling.LANCZOS)
        np.testing.assert_array_equal(scaled_down(image, n_out), np.asarray(theirs))


@pytest.mark.parametrize(("size", "margin"), EVERY)
def test_lines_are_pillows_to_the_bit(size: int, margin: int) -> None:
    image_module = pytest.importorskip(
        "PIL.Image", reason="holds ours against Pillow, which is not installed"
    )
    draw_module = pytest.importorskip("PIL.ImageDraw")
    rules = RULES[size]
    wide, width = 4 * rules.length + 21, round(2 * rules.thickness)
    ring = candidates(rules.length + margin)
    angles = np.concatenate([np.deg2rad(np.arange(360)), np.arctan2(ring[:, 0], ring[:, 1])])
    for end in np.unique(step(2 * rules.length, angles), axis=0):
        image = image_module.new("L", (wide, wide))
        middle = wide // 2
        draw_module.Draw(image).line(
            [(middle, middle), (middle + int(end[1]), middle + int(end[0]))], fill=255, width=width
        )
        np.testing.assert_array_equal(line(wide, end, width), np.asarray(image))


def test_the_filter_keeps_what_is_even() -> None:
    for n_in, n_out in ((17, 9), (128, 64)):
        first, taps = lanczos(n_in, n_out)
        np.testing.assert_allclose(taps.sum(axis=1), 2**22, atol=taps.shape[1])  # a rounding for each tap
        assert first.min() == 0
        even = scaled_down(np.full((n_in, n_in), 201, np.uint8), n_out)
        assert (even == 201).all()


@pytest.mark.parametrize(("size", "margin"), EVERY)
def test_a_dash_of_a_candidate_ends_there_and_comes_from_the_pivot(size: int, margin: int) -> None:
    rules, t = RULES[size], tables(size, margin)
    distance = np.hypot(*t.ring.T)
    assert (np.abs(distance - (rules.length + margin)) < 1.5).all()  # its coordinates are rounded down
    reach = t.dashes.shape[1] // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for (dy, dx), picture in zip(t.ring, t.dashes[DEGREES:], strict=True):
        weight = picture / picture.sum()
        towards = np.array([(weight * y).sum(), (weight * x).sum()])
        # the middle of the dash lies half its length from the candidate, towards the pivot
        expected = -np.array([dy, dx]) / np.hypot(dy, dx) * rules.length / 2
        np.testing.assert_allclose(towards, expected, atol=0.8)


@pytest.mark.parametrize(("size", "margin"), EVERY)
def test_the_space_of_a_dash_reaches_its_margin(size: int, margin: int) -> None:
    """Each pixel that a dash fills by half has a full mask in all pixels within the margin of it."""
    t = tables(size, margin)
    for picture, mask in zip(t.dashes[::7], t.masks[::7], strict=True):
        for y, x in np.argwhere(picture > 127):
            for dy, dx in np.argwhere(disc(margin)) - margin:
                assert mask[y + dy, x + dx] > 76  # what is above 0.3 is taken


def test_weights_prefer_what_is_straight() -> None:
    for size, margin in EVERY:
        rules, t = RULES[size], tables(size, margin)
        angles = np.arctan2(t.ring[:, 0], t.ring[:, 1])
        for c, angle in enumerate(angles):
            turn = np.abs((angles - angle + np.pi) % (2 * np.pi) - np.pi)
            row = t.weights[DEGREES + c]
            assert row[c] == 1.0
            assert (row[turn * rules.continuity >= np.pi / 2] < 1e-30).all()
            np.testing.assert_array_less(np.diff(row[np.argsort(turn)]), 1e-12)
