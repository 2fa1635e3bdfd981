"""Pictures of PIL as grey arrays: upright, on white where they are transparent, and grey for grey only."""

from __future__ import annotations

from typing import Any

import numpy as np

from iwax.errors import IwaxError

ANIMATED = ("GIF", "PNG", "TIFF", "WEBP")


def is_picture(item: Any) -> bool:
    """Whether `item` is an image of PIL, told without importing it."""
    return hasattr(item, "getbands") and hasattr(item, "convert")


def grey(image: Any) -> tuple[np.ndarray, bool]:
    """An image of PIL as (height, width) uint8, and whether it had colour, which is lost.

    - It is turned as its EXIF orientation says.
    - What is transparent shows white; a palette's indices become the palette's colours.
    - Red, green and blue become L = 0.299 R + 0.587 G + 0.114 B, Pillow's, which is all three where they are equal.

    Raises ValueError for more than 8 bits a channel, and for several frames.
    """
    from PIL import Image, ImageOps

    if image.mode[0] in "IF":  # 16 bits and more: convert("L") would clip them
        raise IwaxError(f"mode {image.mode}, more than 8 bits a channel")
    if getattr(image, "n_frames", 1) > 1 and image.format in ANIMATED:
        raise IwaxError(f"{image.n_frames} frames")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")), False
    colours = image.convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(colours), -1, 0)
    return np.asarray(colours.convert("L")), not (np.array_equal(red, green) and np.array_equal(green, blue))
