"""A folder of images: which of its folders are parts of the data set, and the images in each."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from iwax.data.parts import WHOLE, by_part, left_out, not_two_parts, part_of
from iwax.data.pictures import BACKGROUNDS, pixels_of, stacked
from iwax.errors import IwaxError
from iwax.extras import check_installed
from iwax.numpy_files import FOREIGN

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def read_folder(folder: Path, background: str | None = None) -> tuple[dict[str, np.ndarray], list[str]]:
    """The images of a folder's parts, or of all of it as "data", as uint8; and what must be said.

    They are (N, height, width), or (N, height, width, 3) if one of them has colour. Folders such as `training`, `Test`
    and `val` are parts. Training or test alone, or a part further down, is refused: its images would be mixed with
    others. Whatever else is beside them is left out and named. Hidden files are no images. Transparent pixels show the
    `background`, white if it is left out, and that is said. Raises ValueError.
    """
    parts = _parts(folder)
    read = {part: _read_images(inner, background or BACKGROUNDS[0]) for part, inner in parts.items()}
    images = [image for found, _ in read.values() for image in found]
    colour, transparent = any(image.ndim == 3 for image in images), sum(count for _, count in read.values())
    notices = [] if background else _said(transparent, len(images), folder)
    if len(parts) > 1:
        beside = [path for path in sorted(folder.iterdir()) if path not in parts.values()]
        notices += left_out((p.name for p in beside if not p.name.startswith(".") and _images(p)), folder)
    return {part: stacked(found, colour) for part, (found, _) in read.items()}, notices


def has_images(folder: Path) -> bool:
    """Whether there is an image in a folder, or in one in it."""
    return bool(_images(folder))


def _said(transparent: int, count: int, folder: Path) -> list[str]:
    """The notice of transparent pixels, or none."""
    if not transparent:
        return []
    white, black = BACKGROUNDS
    return [
        f"{transparent} of {count} images of {folder} have transparent pixels, which became {white}; background="
        f"{black!r} (--background {black}) makes them {black}."
    ]


def _parts(folder: Path) -> dict[str, Path]:
    """Part -> folder, or all of `folder` as "data"; raises ValueError where folders are parts by name, but not two."""
    found = [child for child in sorted(folder.iterdir()) if child.is_dir() and part_of(child.name)]
    if not found:
        return {WHOLE: folder}
    parts = by_part((part_of(child.name), child) for child in found)
    if parts is None:
        raise not_two_parts(folder, "folder", (child.name for child in found))
    return parts


def _read_images(folder: Path, background: str) -> tuple[list[np.ndarray], int]:
    """All images of a folder and those in it, in the order of their paths; and how many have transparent pixels."""
    paths = _images(folder)
    if not paths:
        raise IwaxError(f"Expected {folder} to hold images ({', '.join(IMAGE_SUFFIXES)}); got none. Check the path.")
    _check_no_other_part(folder, paths)
    images: list[np.ndarray] = []
    transparent = 0
    for path in paths:
        image, has_alpha = _read_image(path, background)
        transparent += has_alpha
        if images and image.shape[:2] != images[0].shape[:2]:
            raise IwaxError(
                f"Expected images of one size, {images[0].shape[:2]} as {paths[0]}; got {image.shape[:2]} in {path}. "
                "Resize them."
            )
        images.append(image)
    return images, transparent


def _images(path: Path) -> list[Path]:
    """The images of a folder and those in it, or the one that `path` is, without hidden ones such as `._x.png`."""
    paths = path.rglob("*") if path.is_dir() else [path]
    seen = (p for p in paths if not any(part.startswith(".") for part in p.relative_to(path.parent).parts[1:]))
    return sorted(p for p in seen if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


def _check_no_other_part(folder: Path, paths: list[Path]) -> None:
    """Raises ValueError where images of `folder` lie in a folder that is another part by name."""
    for path in paths:
        for inner in path.parents:
            if inner == folder:
                break
            if part_of(inner.name) not in (None, part_of(folder.name)):
                raise IwaxError(
                    f"Expected the images of {folder} to be of one part of a data set; got {inner}, too. Give the "
                    "folder with both parts, or rename it."
                )


def _read_image(path: Path, background: str) -> tuple[np.ndarray, bool]:
    check_installed("PIL", "images in files")
    from PIL import Image

    with contextlib.ExitStack() as stack:
        try:
            image = stack.enter_context(Image.open(path))
            image.load()  # all that a damaged file can go wrong in,
            getattr(image, "n_frames", 1)  # and this, which reads on in a TIFF
        except (*FOREIGN, Image.DecompressionBombError) as error:
            raise _no_image(path, error) from error
        try:
            return pixels_of(image, background)
        except IwaxError as error:
            raise _no_image(path, error) from error


def _no_image(path: Path, error: Exception) -> IwaxError:
    said = str(error) or type(error).__name__
    return IwaxError(f"Expected {path} to be an 8-bit image; got {said}. Remove or replace it.")
