"""Pathfinder made here: do two discs lie at the ends of one dashed contour (1), or of two (0)?

Linsley, Kim, Veerabadran, Windolf and Serre, "Learning long-range spatial dependencies with horizontal gated
recurrent units" (2018); the sizes of the Long Range Arena.

An image holds two contours of 14 dashes, which grow in turns from first ends that lie at a fixed distance,
and short contours beside them as long as there is space. The discs are at the first end of one contour and at
the last end of the same or of the other one. Whatever cannot go on is begun again: an image is drawn from
those that succeed.

Image i is a function of (seed, size, i) alone. `pathfinder_rules` has the numbers and the pictures of dashes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu.compile import compiled, device_function
from s5ref.data.pathfinder_rules import DEGREES, RULES, Rules, Tables, tables
from s5ref.machine import usable_cores
from s5ref.random import generator

CHUNK = 128
DRAWS = 64  # of a place, before all places are listed
TRIALS = 3  # of a dash, before what it belongs to is begun again
FREE = 76  # a pixel is free if its mask is at most 0.3 of 255
COLLISION = 459  # two masks collide where their sum is 1.8 of 255 or more


class Scratch(NamedTuple):
    """What an image is drawn in: (size, size) uint8 each, but sums (C,), rows (2·size, size) and chain (4,
    5).

    targets, others  the dashes of the two contours, and of the short ones
    discs            at the ends
    mask             the space that is taken
    kept             the mask before a short contour is tried
    rows             of a disc, before it is scaled down along y
    sums             of the weights of candidates
    chain            the dashes of a short contour, as those of `Drawn`
    """

    targets: Array
    others: Array
    discs: Array
    mask: Array
    kept: Array
    rows: Array
    sums: Array
    chain: Array


class Drawn(NamedTuple):
    """n images.

    images (n, size²) uint8, labels (n,) uint8, margins (n,); origins (n,): the contour whose first end has a
    disc;
    dashes (n, 2, 14, 5): of each contour the dashes as (direction, y, x, pivot's y, pivot's x), where (y, x)
    is the
    first dash's first end, and the last end of each other
    """

    images: Array
    labels: Array
    margins: Array
    origins: Array
    dashes: Array


def draw(seed: int, size: int, start: int, stop: int) -> Drawn:
    """The images ``start`` … ``stop`` − 1 of a size.

    Parameters
    ----------
    seed : int
    size : {32, 64, 128, 256}
    start, stop : int

    Returns
    -------
    Drawn
    """
    rules, n = RULES[size], stop - start
    margins = {margin: tables(size, margin) for margin in rules.margins}
    targets, others, discs, mask, kept = np.zeros((5, size, size), np.uint8)
    most = max(len(t.ring) for t in margins.values())
    scratch = Scratch(
        targets,
        others,
        discs,
        mask,
        kept,
        np.zeros((2 * size, size), np.uint8),
        np.zeros(most),
        np.zeros((rules.distractor, 5), np.int64),
    )
    drawn = Drawn(
        np.empty((n, size * size), np.uint8), np.empty(n, np.uint8), np.empty(n, np.int64),
        np.empty(n, np.int64), np.empty((n, 2, rules.contour, 5), np.int64),
    )  # fmt: skip
    for i in range(n):
        rng = generator(seed, "pathfinder", size, start + i)
        label, origin, margin = (int(2 * rng.random()) for _ in range(3))
        drawn.labels[i], drawn.origins[i], drawn.margins[i] = label, origin, rules.margins[margin]
        of = label, origin, drawn.images[i].reshape(size, size)
        _image(rng, rules, margins[rules.margins[margin]], scratch, drawn.dashes[i], *of)
    return drawn


def chunks(seed: int, size: int, start: int, stop: int, workers: int | None = None) -> Iterator[Drawn]:
    """The images ``start`` … ``stop`` − 1 in their order, some at a time; ``workers`` threads draw ahead."""
    from concurrent.futures import Future, ThreadPoolExecutor

    workers = workers or usable_cores()
    ahead: deque[Future[Drawn]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for at in range(start, stop, CHUNK):
            ahead.append(pool.submit(draw, seed, size, at, min(at + CHUNK, stop)))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def image(
    rng: Any, rules: Rules, t: Tables, s: Scratch, chains: Array, label: int, origin: int, out: Array
) -> None:
    """An image into ``out``, and the dashes of its two contours into ``chains``."""
    while not contours(rng, rules, t, s, chains):
        pass
    fill(s.targets, 0)
    draw_chain(s.targets, t, chains[0])
    draw_chain(s.targets, t, chains[1])
    fill(s.others, 0)
    chain = s.chain
    for _ in range(rules.distractors):
        copy(s.kept, s.mask)
        for _ in range(rules.tries):
            if distractor(rng, t, s, chain):
                draw_chain(s.others, t, chain)
                break
            copy(s.mask, s.kept)
    fill(s.discs, 0)
    last = chains[origin if label else 1 - origin]
    disc(t, s, rules.marker_radius, chains[origin, 0, 1], chains[origin, 0, 2])
    disc(t, s, rules.marker_radius, last[len(last) - 1, 1], last[len(last) - 1, 2])
    compose(rules, s, out)


@device_function
def fill(canvas: Array, value: int) -> None:
    """The value in all pixels."""
    for i in range(canvas.shape[0]):
        for j in range(canvas.shape[1]):
            canvas[i, j] = value


@device_function
def copy(canvas: Array, other: Array) -> None:
    """The pixels of another one."""
    for i in range(canvas.shape[0]):
        for j in range(canvas.shape[1]):
            canvas[i, j] = other[i, j]


@device_function
def draw_chain(canvas: Array, t: Tables, chain: Array) -> None:
    """The dashes of a contour, whose larger pixels stay."""
    for k in range(len(chain)):
        stamp(canvas, t.dashes[chain[k, 0]], chain[k, 1], chain[k, 2])


@device_function
def contours(rng: Any, rules: Rules, t: Tables, s: Scratch, chains: Array) -> bool:
    """Two contours, and the space they take in s.mask. False: one of them could not go on.

    The space of the first contour's last dash is left free: so does the original.
    """
    size = rules.size
    fill(s.mask, 255)
    for i in range(rules.border, size - rules.border):
        for j in range(rules.border, size - rules.border):
            s.mask[i, j] = 0
    if not first_dash(rng, t, s, 2 * rules.seed_distance, chains[0, 0]):
        return False
    placed = False
    for _ in range(TRIALS):
        direction = int(DEGREES * rng.random())
        angle = int(DEGREES * rng.random()) * (np.pi / 180)
        y = round(chains[0, 0, 1] + rules.seed_distance * np.sin(angle))
        x = round(chains[0, 0, 2] + rules.seed_distance * np.cos(angle))
        placed = begin(t, size, direction, y, x, chains[1, 0])
        if placed:
            break
    if not placed:
        return False
    for j in range(1, chains.shape[1]):
        for k in range(2):
            if not extend(rng, t, s, chains[k, j - 1], chains[k, j]):
                return False
    last = chains[1, chains.shape[1] - 1]
    stamp(s.mask, t.masks[last[0]], last[1], last[2])
    return True


@device_function
def distractor(rng: Any, t: Tables, s: Scratch, chain: Array) -> bool:
    """A short contour, and the space it takes in s.mask. False: there was none; s.mask is spoilt."""
    if not first_dash(rng, t, s, 1, chain[0]):
        return False
    for j in range(1, len(chain)):
        if not extend(rng, t, s, chain[j - 1], chain[j]):
            return False
    last = chain[len(chain) - 1]
    stamp(s.mask, t.masks[last[0]], last[1], last[2])
    return True


@device_function
def first_dash(rng: Any, t: Tables, s: Scratch, edge: int, dash: Array) -> bool:
    """A dash in any direction whose footprint is free and ``edge`` pixels or more away from the edge.

    False: there is no such place, or less than 1 % of the image is free.
    """
    size, free = len(s.mask), 0
    for i in range(size):
        for j in range(size):
            free += s.mask[i, j] <= FREE
    if 100 * free < size * size:
        return False
    low, n = (
        edge - len(t.dashes[0]) // 2,
        size - 2 * edge + len(t.dashes[0]) // 2 * 2,
    )  # a footprint may lie beside
    for _ in range(TRIALS):
        direction = int(DEGREES * rng.random())
        place = -1
        for _ in range(DRAWS):
            at = int(n * n * rng.random())
            if is_free(t, s, edge, direction, low + at // n, low + at % n):
                place = at
                break
        if place < 0:  # few places are left, or none: list them
            count = 0
            for at in range(n * n):
                count += is_free(t, s, edge, direction, low + at // n, low + at % n)
            if count == 0:
                return False
            left = int(count * rng.random())
            while left >= 0:
                place += 1
                left -= is_free(t, s, edge, direction, low + place // n, low + place % n)
        if begin(t, size, direction, low + place // n, low + place % n, dash):
            return True
    return False


@device_function
def is_free(t: Tables, s: Scratch, edge: int, direction: int, y: int, x: int) -> int:
    """1 where the footprint of a first dash from (y, x) is free, ``edge`` pixels or more away from the
    edge."""
    size = len(s.mask)
    if not (0 <= y < size and 0 <= x < size):
        return 0
    for k in range(t.footprint_sizes[direction]):
        i, j = y + t.footprints[direction, k, 0], x + t.footprints[direction, k, 1]
        inside = 0 <= i < size and 0 <= j < size
        if inside and (s.mask[i, j] > FREE or min(i, j) < edge or max(i, j) >= size - edge):
            return 0
    return 1


@device_function
def begin(t: Tables, size: int, direction: int, y: int, x: int, dash: Array) -> bool:
    """The first dash of a contour; False if its other end or the first pivot is outside."""
    pivot_y, pivot_x = y + t.pivots[direction, 0], x + t.pivots[direction, 1]
    head_y, head_x = y + t.heads[direction, 0], x + t.heads[direction, 1]
    dash[0], dash[1], dash[2], dash[3], dash[4] = direction, y, x, pivot_y, pivot_x
    least, most = min(pivot_y, pivot_x, head_y, head_x), max(pivot_y, pivot_x, head_y, head_x)
    return bool(least >= 0 and most < size)


@device_function
def extend(rng: Any, t: Tables, s: Scratch, last: Array, new: Array) -> bool:
    """The dash after ``last`` to a candidate whose surroundings are free; the straighter, the more likely.

    The space of ``last`` is taken only then, so that the new dash may touch it. False: there was none.
    """
    size = len(s.mask)
    direction = last[0]
    pivot_y, pivot_x = last[3] + t.steps[direction, 0], last[4] + t.steps[direction, 1]
    total = 0.0
    for k in range(len(t.ring)):
        y, x = pivot_y + t.ring[k, 0], pivot_x + t.ring[k, 1]
        weight = t.weights[direction, k]
        if weight > 0 and 0 <= y < size and 0 <= x < size:
            taken = 0
            for e in range(len(t.disc)):
                near_y, near_x = y + t.disc[e, 0], x + t.disc[e, 1]
                if 0 <= near_y < size and 0 <= near_x < size:
                    taken = max(taken, int(s.mask[near_y, near_x]))
            total += weight * (255 - taken) / 255
        s.sums[k] = total
    if total < 1e-4:
        return False
    for _ in range(TRIALS):
        level, k = total * rng.random(), 0
        while s.sums[k] <= level:
            k += 1
        y, x = pivot_y + t.ring[k, 0], pivot_x + t.ring[k, 1]
        if highest_sum(s.mask, t.masks[DEGREES + k], y, x) < COLLISION:
            stamp(s.mask, t.masks[direction], last[1], last[2])
            new[0], new[1], new[2], new[3], new[4] = DEGREES + k, y, x, pivot_y, pivot_x
            return True
    return False


@device_function
def stamp(canvas: Array, picture: Array, y: int, x: int) -> None:
    """The larger of canvas and picture, whose middle is at (y, x), in the canvas; what is outside is lost."""
    top, left = y - len(picture) // 2, x - len(picture) // 2
    for i in range(max(0, -top), min(len(picture), len(canvas) - top)):
        for j in range(max(0, -left), min(len(picture), len(canvas) - left)):
            canvas[top + i, left + j] = max(canvas[top + i, left + j], picture[i, j])


@device_function
def highest_sum(canvas: Array, picture: Array, y: int, x: int) -> int:
    """The largest sum of a pixel of the canvas and of the picture, whose middle is at (y, x)."""
    top, left = y - len(picture) // 2, x - len(picture) // 2
    highest = 0
    for i in range(max(0, -top), min(len(picture), len(canvas) - top)):
        for j in range(max(0, -left), min(len(picture), len(canvas) - left)):
            highest = max(highest, int(canvas[top + i, left + j]) + int(picture[i, j]))
    return highest


@device_function
def compose(rules: Rules, s: Scratch, out: Array) -> None:
    """Dashes by their contrast and discs, the larger of them in each pixel; the image's range becomes 0 …
    255."""
    target = rules.contrast * rules.target_contrast
    lowest, highest = np.inf, 0.0
    for y in range(rules.size):
        for x in range(rules.size):
            value = max(target * s.targets[y, x], rules.contrast * s.others[y, x], float(s.discs[y, x]))
            lowest, highest = min(lowest, value), max(highest, value)
    for y in range(rules.size):
        for x in range(rules.size):
            value = max(target * s.targets[y, x], rules.contrast * s.others[y, x], float(s.discs[y, x]))
            out[y, x] = int((value - lowest) * (255 / (highest - lowest)) + 0.5)


@device_function
def disc(t: Tables, s: Scratch, radius: float, y: int, x: int) -> None:
    """A disc around (y, x) into s.discs, drawn at twice the resolution and scaled down."""
    size, reach = len(s.discs), int(2 * radius)
    top, bottom = max(0, 2 * y - reach), min(2 * size, 2 * y + reach + 1)
    near = reach // 2 + 5  # the filter reaches no further
    left, right = max(0, x - near), min(size, x + near + 1)
    for i in range(top, bottom):
        half = int(np.sqrt(4 * radius * radius - (i - 2 * y) ** 2))
        for j in range(left, right):
            total = 0
            for k in range(t.taps.shape[1]):
                if abs(t.first[j] + k - 2 * x) <= half:
                    total += 255 * t.taps[j, k]
            s.rows[i, j] = rounded(total)
    for i in range(max(0, y - near), min(size, y + near + 1)):
        for j in range(left, right):
            total = 0
            for k in range(t.taps.shape[1]):
                if top <= t.first[i] + k < bottom:
                    total += t.taps[i, k] * s.rows[t.first[i] + k, j]
            s.discs[i, j] = max(s.discs[i, j], rounded(total))


@device_function
def rounded(total: int) -> int:
    """A sum of the filter as a pixel."""
    return min(max((total + (1 << 21)) >> 22, 0), 255)


_image = compiled(image, allocates=True)  # a generator of random numbers counts references
