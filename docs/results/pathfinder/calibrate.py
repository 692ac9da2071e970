"""Pathfinder made here beside images of the original generator and of the Long Range Arena: a table and a
picture.

    python calibrate.py DIR [--picture FILE.png]

DIR holds the images: ``lra_release_samples/pathx_*.png`` and ``pathfinder64_*.png``, without labels, and
unpacked ``pathfinder32/curv_contour_length_14`` and ``pathfinder128/…`` of the original generator, with them.
Needs Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from s5ref.data import pathfinder_rules
from s5ref.data.pathfinder_generator import draw

EIGHT = np.ones((3, 3))  # pixels that touch at a corner belong together
SEED = 0


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The images of the original generator and their labels, which its text of metadata has fourth."""
    rows = [line.split() for line in (folder / "metadata" / "0.npy").read_text().splitlines()]
    images = np.array([np.asarray(Image.open(folder / row[0] / row[1])) for row in rows])
    return images, np.array([int(row[3]) for row in rows])


def measured(images: np.ndarray) -> dict[str, np.ndarray]:
    """Of each image (n, size, size)."""
    parts = [ndimage.label(image > 64, EIGHT) for image in images]
    peaks = [
        ndimage.maximum(image, part, range(1, n + 1)) for image, (part, n) in zip(images, parts, strict=True)
    ]
    areas = [np.bincount(part.ravel())[1:] for part, _ in parts]
    return {
        "mean": images.mean(axis=(1, 2)) / 255,
        "standard deviation": np.sqrt((images.astype(float) ** 2).mean(axis=(1, 2))) / 255,
        "share above 64": (images > 64).mean(axis=(1, 2)),
        "parts": np.array([n for _, n in parts]),
        "median peak of a part": np.array([np.median(peak) for peak in peaks]),
        "median area of a part": np.array([np.median(area) for area in areas]),
    }


def whole(images: np.ndarray) -> dict[str, str]:
    """The figures of all images, ± the standard error of the mean where it is one over images."""
    found = {}
    for name, values in measured(images).items():
        error = values.std(ddof=1) / np.sqrt(len(values))
        found[name] = (
            f"{values.mean():.4f} ± {error:.4f}"
            if values.mean() < 1
            else f"{values.mean():.1f} ± {error:.1f}"
        )
    found["standard deviation"] = f"{images.std() / 255:.4f}"
    return found


def table(columns: dict[str, np.ndarray]) -> str:
    """A table of Markdown: a column for each set of images."""
    figures = {name: whole(images) for name, images in columns.items()}
    lines = [
        ["", *(f"{name} ({len(images)})" for name, images in columns.items())],
        ["---"] * (len(columns) + 1),
    ]
    lines += [[key, *(each[key] for each in figures.values())] for key in next(iter(figures.values()))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def sheet(rows: list[np.ndarray], side: int = 132, gap: int = 6) -> Image.Image:
    """Rows of images, each enlarged or reduced to the same width, one row below the other."""
    wide = max(map(len, rows))
    page = Image.new("L", (wide * (side + gap) - gap, len(rows) * (side + gap) - gap), 255)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            way = Image.Resampling.NEAREST if image.shape[0] < side else Image.Resampling.LANCZOS
            page.paste(Image.fromarray(image).resize((side, side), way), (j * (side + gap), i * (side + gap)))
    return page


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000, help="images of ours of each size")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    real = {
        size: np.array(
            [
                np.asarray(Image.open(path))
                for path in sorted(args.folder.glob(f"lra_release_samples/{name}_*.png"))
            ]
        )
        for size, name in ((64, "pathfinder64"), (128, "pathx"))
    }
    original = {
        size: read(args.folder / f"pathfinder{size}" / "curv_contour_length_14") for size in (32, 128)
    }
    ours = {}
    for size in (32, 64, 128):
        drawn = draw(SEED, size, 0, args.count)
        ours[size] = drawn.images.reshape(-1, size, size), drawn.labels

    by_label = {
        f"{who}, label {label}": images[labels == label]
        for who, (images, labels) in (("original", original[32]), ("ours", ours[32]))
        for label in (0, 1)
    }
    print("32 pixels\n\n" + table({"original generator": original[32][0], "ours": ours[32][0]} | by_label))
    print("\n64 pixels\n\n" + table({"Long Range Arena": real[64], "ours": ours[64][0]}))
    rules = pathfinder_rules.RULES[128]
    print("\n128 pixels\n\n" + table({"Long Range Arena": real[128], "ours": ours[128][0]}))
    # the original's 60 images at 128 pixels have 8 distractors and its contrast: the same of ours
    pathfinder_rules.RULES[128] = rules._replace(distractors=8, contrast=0.9)
    eight = draw(SEED, 128, 0, args.count)
    eight_images = eight.images.reshape(-1, 128, 128)
    by_label = {
        f"{who}, label {label}": images[labels == label]
        for who, (images, labels) in (("original", original[128]), ("ours", (eight_images, eight.labels)))
        for label in (0, 1)
    }
    print(
        "\n128 pixels, 8 distractors\n\n"
        + table({"original generator": original[128][0], "ours": eight_images} | by_label)
    )
    if args.picture:
        rows = [
            original[32][0][:8],
            ours[32][0][:8],
            real[64][:8],
            ours[64][0][:8],
            real[128][:8],
            ours[128][0][:8],
        ]
        sheet(rows).save(args.picture, optimize=True)


if __name__ == "__main__":
    main()
