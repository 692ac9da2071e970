"""Videos of a swinging pendulum under growing and fading noise: the generator of the pendulum regression set.

The same random numbers in the same order as the authors' generator, so that its files come out byte by byte.
A frame depends on where the tip of the pendulum lies, in whole pixels; there are fewer than 500 such places,
and each is drawn once. Drawing and scaling down are Pillow's, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import optional

FRAMES, SIDE = 100, 24
GRAVITY, LENGTH, MASS, FRICTION = 9.81, 1.0, 1.0, 0.1
SUBSTEPS, SUBSTEP = 100, 0.01 / 100  # of a frame; seconds
SPEED_NOISE, IMAGE_NOISE = 0.1, 1e-5  # standard deviations: of a kick after each frame, of what is drawn
CANVAS, TIP, WIDTH = 128, 55, 8  # pixels: the drawing, the length of the pendulum in it, its width
CLEAN = 5  # frames without noise, the first ones
SEEDS = (42, 43)  # of the sets for training and test, and of the one for validation


def trajectories(rng: np.random.RandomState, n: int) -> Array:
    """(n, FRAMES, 2): the angle from the lowest point in [−π, π), radians, and the speed at each frame.

    Semi-implicit Euler: v += h(c sin θ − v·friction), θ += h v, where θ is 0 at the top, c = g l m/I and
    I = m l²/3; after each frame v gets a kick of N(0, 0.1²).
    """
    pull = GRAVITY * LENGTH * MASS / (MASS * LENGTH**2 / 3)
    states = np.zeros((n, FRAMES, 2))
    states[:, 0, 0] = rng.uniform(0, 2 * np.pi, n)
    for i in range(1, FRAMES):
        angle, speed = states[:, i - 1].T
        for _ in range(SUBSTEPS):
            speed = speed + SUBSTEP * (pull * np.sin(angle) - speed * FRICTION)
            angle = angle + SUBSTEP * speed
        states[:, i, 0] = np.mod(angle, 2 * np.pi)
        states[:, i, 1] = speed + rng.normal(0, SPEED_NOISE, n)
    states[..., 0] -= np.pi
    return states


def visibility(rng: np.random.RandomState, n: int) -> Array:
    """(n, FRAMES): the share of the image in each frame, the rest being noise. A random walk in [0, 1],
    stretched so that it reaches 0 and 1 for a while; 1 at the first CLEAN frames.
    """
    walk = np.zeros((n, FRAMES))
    walk[:, 0] = rng.uniform(0, 1, n)
    for i in range(1, FRAMES):
        walk[:, i] = np.clip(walk[:, i - 1] + rng.uniform(-0.2, 0.2, n), 0, 1)
    low, high = rng.uniform(0, 0.25, (n, 1)), rng.uniform(0.75, 1, (n, 1))
    shares: Array = np.clip((walk - low) / (high - low), 0, 1)
    shares[:, :CLEAN] = 1
    return shares


def frames(angles: Array) -> Array:
    """The images without noise: angles (…) → (…, SIDE, SIDE), 0 … 255, whole numbers."""
    tips = np.stack([np.sin(angles), np.cos(angles)], axis=-1) * TIP + CANVAS // 2
    places, which = np.unique(tips.astype(np.int64).reshape(-1, 2), axis=0, return_inverse=True)
    drawn = np.stack([_drawn(int(x), int(y)) for x, y in places])
    return drawn[which].reshape(*angles.shape, SIDE, SIDE)


def _drawn(x: int, y: int) -> Array:
    image, draw = optional("PIL.Image", "data"), optional("PIL.ImageDraw", "data")
    canvas = image.new("F", (CANVAS, CANVAS), 0.0)
    draw.Draw(canvas).line([(CANVAS // 2, CANVAS // 2), (x, y)], fill=1.0, width=WIDTH)
    small = np.asarray(canvas.resize((SIDE, SIDE), resample=image.Resampling.LANCZOS))
    return np.asarray(np.clip(small, 0, 1) * 255, np.uint8)


def sequences(rng: np.random.RandomState, n: int) -> tuple[Array, Iterator[Array]]:
    """Targets (n, FRAMES, 2), sine and cosine of the angle, and the n noisy videos (FRAMES, SIDE, SIDE, 1),
    uint8.

    The videos draw from ``rng`` as they come: take them all before it is used again.
    """
    states = trajectories(rng, n)
    targets = np.stack([np.sin(states[..., 0]), np.cos(states[..., 0])], axis=-1)
    clean = frames((states + rng.normal(0, IMAGE_NOISE, states.shape))[..., 0])
    shares = visibility(rng, n)

    def videos() -> Iterator[Array]:
        for video, share in zip(clean, shares, strict=True):
            weight = share[:, None, None]
            noise = rng.uniform(0, 255, video.shape)
            yield (weight * video + (1 - weight) * noise).astype(np.uint8)[..., None]

    return targets, videos()


def generated(sizes: tuple[int, int, int], seed: int, report: Callable[[str], None]) -> dict[str, Array]:
    """The arrays of the authors' file, by their names. Seed 0 is their set.

    Raises
    ------
    MissingDependency
        Without Pillow, which draws.
    """
    both, validation = (np.random.RandomState(first + 2 * seed) for first in SEEDS)
    arrays: dict[str, Array] = {}
    splits = ("train", both, sizes[0]), ("test", both, sizes[2]), ("valid", validation, sizes[1])
    for split, rng, n in splits:  # test after training, from the same stream
        targets, videos = sequences(rng, n)
        observed = np.empty((n, FRAMES, SIDE, SIDE, 1), np.uint8)
        for i, video in enumerate(videos):
            observed[i] = video
        arrays[f"{split}_obs"], arrays[f"{split}_targets"] = observed, targets
        arrays[f"{split}_ts"] = np.tile(np.arange(FRAMES, dtype=np.float64), (n, 1))
        report(f"pendulum {split}: {n} sequences")
    return arrays
