"""A folder of images: which of its folders are halves, and the images in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iwax.data.pictures import grey
from iwax.errors import IwaxError
from iwax.extras import check_installed

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
HALVES = {  # names of folders, in any case
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
}


def half_of(folder: Path) -> str | None:
    """Which half of a data set a folder is by its name: "train", "test", "validation", or None."""
    return HALVES.get(folder.name.lower())


def read_folder(folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The images (N, height, width) uint8 of a folder's halves, or of all of it as "data"; and what must be said.

    Folders such as `training` and `Test` are halves. One half alone, or a half further down, is refused: its images
    would be mixed with others. A folder for validation, and whatever else is beside two halves, is left out and named.
    Hidden files are no images. Raises ValueError.
    """
    halves = _halves(folder)
    if not halves:
        images, said = read_images(folder)
        return {"data": images}, said
    parts, notices = {}, []
    for half in ("train", "test"):
        parts[half], said = read_images(halves[half])
        notices += said
    beside = [p.name for p in sorted(folder.iterdir()) if p not in (halves["train"], halves["test"])]
    left_out = [name for name in beside if not name.startswith(".") and _images(folder / name)]
    if left_out:
        notices.append(f"Neither trained nor tested on: {', '.join(left_out)} of {folder}.")
    return parts, notices


def _halves(folder: Path) -> dict[str, Path]:
    """The folders of `folder` that are halves by name, or none; raises ValueError unless training and test are two."""
    found = [child for child in sorted(folder.iterdir()) if child.is_dir() and half_of(child)]
    halves = {str(half_of(child)): child for child in found}
    kinds = [half_of(child) for child in found]
    if found and (kinds.count("train"), kinds.count("test")) != (1, 1):
        raise IwaxError(
            f"Expected {folder} to have one folder for training and one for testing; got "
            f"{', '.join(child.name for child in found)}. Name them `train` and `test`, or give one of them alone."
        )
    return halves


def read_images(folder: Path) -> tuple[np.ndarray, list[str]]:
    """All images of a folder and those in it, (N, height, width) uint8 in the order of their paths; and what to say."""
    paths = _images(folder)
    if not paths:
        raise IwaxError(f"Expected {folder} to hold images ({', '.join(IMAGE_SUFFIXES)}); got none. Check the path.")
    _check_no_half(folder, paths)
    images: list[np.ndarray] = []
    coloured = 0
    for path in paths:
        image, colour = _read_image(path)
        coloured += colour
        if images and image.shape != images[0].shape:
            raise IwaxError(
                f"Expected images of one size, {images[0].shape} as {paths[0]}; got {image.shape} in {path}. "
                "Resize them."
            )
        images.append(image)
    said = (
        f"{coloured} of {len(paths)} images of {folder} have colour; they were made grey, 0.299 R + 0.587 G + 0.114 B."
    )
    return np.stack(images), [said] if coloured else []


def _images(path: Path) -> list[Path]:
    """The images of a folder and those in it, or the one that `path` is, without hidden ones such as `._x.png`."""
    paths = path.rglob("*") if path.is_dir() else [path]
    seen = (p for p in paths if not any(part.startswith(".") for part in p.relative_to(path.parent).parts[1:]))
    return sorted(p for p in seen if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


def _check_no_half(folder: Path, paths: list[Path]) -> None:
    """Raises ValueError where images of `folder` lie in a folder that is another half by name."""
    for path in paths:
        for inner in path.parents:
            if inner == folder:
                break
            if half_of(inner) not in (None, half_of(folder)):
                raise IwaxError(
                    f"Expected the images of {folder} to be of one half; got {inner}, too. Give the folder with both "
                    "halves, or rename it."
                )


def _read_image(path: Path) -> tuple[np.ndarray, bool]:
    check_installed("PIL", "images in files")
    from PIL import Image

    def refused(error: Exception) -> IwaxError:
        return IwaxError(f"Expected {path} to be an 8-bit image; got {error}. Remove or replace it.")

    try:
        image = Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise refused(error) from error
    with image:
        try:
            image.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise refused(error) from error
        try:
            return grey(image)
        except IwaxError as error:
            raise refused(error) from error
