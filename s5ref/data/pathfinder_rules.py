"""What a Pathfinder image of each size is made by: the numbers, and the dashes, drawn once for every
direction.

A dash is a straight line, rasterised at twice the resolution and scaled down by Lanczos' filter. A contour is
a chain of dashes. Its first dash has one of 360 directions; each further one ends at a *candidate*, one of
the few pixels at a fixed distance from the last *pivot*, the point between two dashes. So there are a few
hundred different dashes in all: `tables` has each as a small picture, and everything else that depends on
directions alone.

Directions are numbered: 0 … 359 are the degrees −180 … 179, 360 + c is that from the pivot to candidate c.
Points and displacements are (y, x), y downwards.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array

DEGREES = 360


class Rules(NamedTuple):
    """The numbers of one size, as the Long Range Arena gave them to the original generator.

    At 128 pixels it documents 8 distractors of contrast 0.9; its images have 17, and are darker: these two
    numbers are calibrated to eight of them (docs/results/pathfinder).

    size             pixels a side
    margins          of the space around a dash: an image draws one of the two
    border           pixels at the edge that stay free
    length           of a dash
    marker_radius    of the discs at the ends
    thickness        of a dash; twice that is a whole number
    seed_distance    between the first ends of the two contours
    continuity       the larger it is, the straighter are contours
    distractors      short contours that are tried beside the two
    contrast         of a distractor; that of the two contours is `contrast` times `target_contrast`
    """

    size: int
    margins: tuple[int, int]
    border: int
    length: int
    marker_radius: float
    thickness: float
    seed_distance: int
    continuity: float
    distractors: int
    contrast: float
    target_contrast: float = 1.0
    contour: int = 14  # dashes of each of the two contours
    distractor: int = 4  # dashes of a distractor
    tries: int = 5  # of a distractor, before it is left out


RULES = {
    rules.size: rules
    for rules in (
        Rules(32, (1, 1), 1, 2, 1.5, 0.5, 7, 1.0, 5, 2.0, 0.75),
        Rules(64, (1, 1), 1, 5, 2.5, 1.0, 12, 1.8, 5, 0.8),
        Rules(128, (2, 3), 1, 5, 3.0, 1.5, 20, 1.8, 17, 0.75),
        Rules(256, (3, 3), 22, 5, 5.0, 2.0, 27, 1.8, 7, 1.0),
    )
}


class Tables(NamedTuple):
    """All that depends on the size, the margin and directions alone; D = 360 + C directions, C candidates.

    dashes, masks    (D, S, S) uint8: a dash, and the space that it takes. A first dash begins in the middle;
                     that
                     of a candidate ends there
    ring             (C, 2): from a pivot to its candidates
    weights          (D, C): how readily a contour that goes in a direction goes on to a candidate
    heads, pivots    (360, 2): from the first end of a first dash to its other end, and to the first pivot
    steps            (D, 2): from a pivot to the next one
    footprints       (360, F, 2) and footprint_sizes (360,): the pixels that must be free around the first end
    disc             (E, 2): the disc by which the space of dashes grows where a candidate is looked for
    taps, first      (size, T) and (size,): weights of Lanczos' filter for each pixel of an image, from twice
                     as many
    """

    dashes: Array
    masks: Array
    ring: Array
    weights: Array
    heads: Array
    pivots: Array
    steps: Array
    footprints: Array
    footprint_sizes: Array
    disc: Array
    taps: Array
    first: Array


@cache
def tables(size: int, margin: int) -> Tables:
    """The tables of a size for one of its margins."""
    rules = RULES[size]
    ring = candidates(rules.length + margin)
    degrees = np.arange(-180, 180) * np.pi / 180
    angles = np.concatenate([degrees, np.arctan2(ring[:, 0], ring[:, 1])])
    opposite = angles - np.copysign(np.pi, angles)
    drawn = np.concatenate([degrees, opposite[DEGREES:]])
    pictures = [dash(rules, margin, angle) for angle in drawn]
    masks = np.array([mask for _, mask in pictures])
    heads = step(rules.length, degrees)
    footprint_sizes, footprints = _footprints(masks[:DEGREES], rules.length + margin)
    first, taps = lanczos(2 * size, size)
    return Tables(
        dashes=np.array([line for line, _ in pictures]),
        masks=masks,
        ring=ring,
        weights=_weights(angles, angles[DEGREES:], rules.continuity),
        heads=heads,
        pivots=heads + step(rules.length + margin, opposite[:DEGREES]),
        steps=step(rules.length + 2 * margin, angles),
        footprints=footprints,
        footprint_sizes=footprint_sizes,
        disc=np.argwhere(disc(margin)) - margin,
        taps=taps,
        first=first,
    )


def candidates(radius: int) -> Array:
    """(C, 2): the different pixels that a circle around a pixel passes, from samples a pixel apart."""
    angles = np.deg2rad(np.arange(0, 360, 360 / (2 * np.pi * radius)))
    points = radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.unique(np.floor(points).astype(np.int64), axis=0)


def step(distance: int, angles: Array) -> Array:
    """(…, 2): from a pixel to the one that is ``distance`` away, both coordinates rounded up."""
    moved = np.stack([np.sin(angles), np.cos(angles)], axis=-1) * distance
    far = 2 * distance  # so that what is zero but for rounding stays zero
    return np.asarray(np.ceil(far + moved).astype(np.int64) - far)


def dash(rules: Rules, margin: int, angle: float) -> tuple[Array, Array]:
    """The dash that begins in the middle, and the space it takes: (S, S) uint8 each, 255 where it is full."""
    reach = rules.length + int(np.ceil(rules.thickness)) + margin
    wide = 4 * reach + 1
    large = line(wide, step(2 * rules.length, np.array(angle)), round(2 * rules.thickness))
    space = np.zeros_like(large)
    for dy, dx in np.argwhere(disc(2 * margin)) - 2 * margin:
        y, x = np.nonzero(large)
        inside = (y + dy >= 0) & (y + dy < wide) & (x + dx >= 0) & (x + dx < wide)
        space[y[inside] + dy, x[inside] + dx] = 255
    return scaled_down(large, 2 * reach + 1), scaled_down(space, 2 * reach + 1)


def disc(radius: int) -> Array:
    """(2r + 1, 2r + 1) bool: the pixels within ``radius`` of the middle."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y**2 + x**2 <= radius**2)


def line(size: int, end: Array, width: int) -> Array:
    """(size, size) uint8: a line of whole width from the middle to ``end`` (from the middle), 255 on 0.

    The pixels are those of Pillow's `ImageDraw.line`. Width 1: one step a pixel along the longer axis. Else:
    row by
    row those within a rectangle whose corners are whole.
    """
    image = np.zeros((size, size), np.uint8)
    middle = size // 2
    dy, dx = (int(d) for d in end)
    if width == 1:
        n = max(abs(dy), abs(dx))
        along = np.arange(n + 1)
        y, x = (middle + np.sign(d) * ((2 * along * abs(d) + n) // (2 * n)) for d in (dy, dx))
        image[y, x] = 255
        return image
    near, far = (half / np.hypot(dy, dx) for half in (_down((width - 1) / 2), _up((width - 1) / 2)))
    corners = np.array([[_up(far * dx), -_down(near * dy)], [-_up(near * dx), _down(far * dy)]])
    corners = np.concatenate([corners[:1], end + corners[:1], end + corners[1:], corners[1:]])
    for row in range(corners[:, 0].min(), corners[:, 0].max() + 1):
        crossed: list[float] = []
        for (ay, ax), (by, bx) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if ay == by == row:
                crossed += [ax, bx]
            elif min(ay, by) <= row <= max(ay, by) and ay != by:
                crossed.append((row - ay) * (bx - ax) / (by - ay) + ax)
        left = int(np.floor(min(crossed) + 0.5))
        right = max(left, int(np.ceil(max(crossed) - 0.5)))
        image[middle + row, middle + left : middle + right + 1] = 255
    return image


def lanczos(n_in: int, n_out: int) -> tuple[Array, Array]:
    """Lanczos' filter of three lobes from ``n_in`` pixels to ``n_out``: first (n_out,) and taps (n_out, T).

    Pixel i of the result is the sum of taps[i, k] · pixel first[i] + k, times 2⁻²² and rounded, within 0 …
    255: the
    whole numbers of Pillow's `Image.resize`.
    """
    scale = n_in / n_out
    centre = (np.arange(n_out) + 0.5) * scale
    first = np.maximum((centre - 3 * scale + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + 3 * scale + 0.5).astype(np.int64), n_in)
    at = first[:, None] + np.arange((end - first).max())
    z = (at - centre[:, None] + 0.5) / scale
    weight = np.sinc(z) * np.sinc(z / 3) * ((np.abs(z) < 3) & (at < end[:, None]))
    weight /= weight.sum(axis=1, keepdims=True)
    return first, np.trunc(weight * 2**22 + np.copysign(0.5, weight)).astype(np.int64)


def scaled_down(image: Array, size: int) -> Array:
    """A square uint8 image with ``size`` pixels a side: along x by `lanczos`, then along y."""
    first, taps = lanczos(len(image), size)
    at = np.minimum(first[:, None] + np.arange(taps.shape[1]), len(image) - 1)
    for _ in range(2):
        sums = (image[:, at].astype(np.int64) * taps).sum(axis=-1)
        image = np.clip((sums + 2**21) >> 22, 0, 255).T
    return image.astype(np.uint8)


def _up(x: float) -> int:
    """To the nearest whole number, halves away from zero."""
    return int(np.copysign(np.floor(abs(x) + 0.5), x))


def _down(x: float) -> int:
    """To the nearest whole number, halves towards zero."""
    return int(np.copysign(np.ceil(abs(x) - 0.5), x))


def _weights(angles: Array, onward: Array, continuity: float) -> Array:
    """cos² of the angle between the directions, times the continuity; 0 from a right angle on."""
    turn = np.abs(angles[:, None] - onward)
    turn = np.minimum(turn, 2 * np.pi - turn) * continuity
    return np.where(turn < np.pi / 2, np.cos(turn) ** 2, 0.0)


def _footprints(masks: Array, radius: int) -> tuple[Array, Array]:
    """How many, and which (360, F, 2): the full pixels of each mask within ``radius``, one further down and
    right.

    It is one pixel off the dash itself: the original generator takes it from a picture whose middle it misses
    by one.
    """
    middle = masks.shape[1] // 2
    found = [np.argwhere(mask == 255) - middle + 1 for mask in masks]
    found = [offsets[np.abs(offsets).max(axis=1) <= radius] for offsets in found]
    sizes = np.array([len(offsets) for offsets in found])
    footprints = np.zeros((len(found), sizes.max(), 2), np.int64)
    for row, offsets in zip(footprints, found, strict=True):
        row[: len(offsets)] = offsets
    return sizes, footprints
