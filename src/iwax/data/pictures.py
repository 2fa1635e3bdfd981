"""Pictures of PIL as arrays: upright, in colour where they have it, on a background where they are transparent."""

from __future__ import annotations

from typing import Any

import numpy as np

from iwax.errors import IwaxError

ANIMATED = ("GIF", "PNG", "TIFF", "WEBP")
CHANNELS = ((1, 3), (2, 4))
"""Numbers of channels, the usual ones first: what tells the axis of channels from height and width."""
BACKGROUNDS = ("white", "black")


def is_picture(item: Any) -> bool:
    """Whether `item` is an image of PIL, told without importing it."""
    return hasattr(item, "getbands") and hasattr(item, "convert")


def pixels_of(image: Any, background: str = "white") -> tuple[np.ndarray, bool]:
    """An image of PIL as (height, width) or, in colour, (height, width, 3) uint8; and whether it was transparent.

    - It is turned as its EXIF orientation says.
    - What is transparent shows the `background`, white or black; a palette's indices become the palette's colours.
    - Red, green and blue that are equal everywhere are grey.

    Raises ValueError for more than 8 bits a channel, and for several frames.
    """
    from PIL import Image, ImageOps

    if image.mode[0] in "IF":  # 16 bits and more: convert("L") would clip them
        raise IwaxError(f"mode {image.mode}, more than 8 bits a channel")
    if getattr(image, "n_frames", 1) > 1 and image.format in ANIMATED:
        raise IwaxError(f"{image.n_frames} frames")
    image = ImageOps.exif_transpose(image)
    transparent = False
    if image.has_transparency_data:
        image = image.convert("RGBA")
        transparent = image.getextrema()[3][0] < 255
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")), transparent
    colours = np.asarray(image.convert("RGB"))
    red, green, blue = np.moveaxis(colours, -1, 0)
    is_grey = np.array_equal(red, green) and np.array_equal(green, blue)
    return (np.ascontiguousarray(red) if is_grey else colours), transparent


def stacked(images: list[np.ndarray], colour: bool) -> np.ndarray:
    """Images of one size as (N, height, width), or (N, height, width, 3) if `colour`: those that are grey threefold."""
    if colour:
        images = [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in images]
    return np.stack(images)


def made_grey(images: np.ndarray) -> np.ndarray:
    """Images (N, height, width, 3) as (N, height, width), L = 0.299 R + 0.587 G + 0.114 B; grey ones as they are.

    Of uint8 it is rounded as Pillow does. Raises ValueError for anything that is no image in colour or grey.
    """
    if images.ndim == 3:
        return images
    if images.ndim == 4 and images.shape[-1] == 1:
        return images[..., 0]
    if images.ndim != 4 or images.shape[-1] != 3:
        raise IwaxError(
            f"Expected images (N, height, width, 3) to make grey; got shape {images.shape}. Leave grey out."
        )
    if images.dtype == np.uint8:
        weighted = images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)  # of 2^16
        return ((weighted + (1 << 15)) >> 16).astype(np.uint8)
    return (images @ np.array([0.299, 0.587, 0.114])).astype(np.result_type(images.dtype, np.float32))


def channels_last(images: np.ndarray) -> np.ndarray:
    """(N, height, width, channels) of (N, channels, height, width), too, and (N, height, width) of a single channel.

    The channels are at the end whose length is a usual number of them and the other end's is not. What has not four
    axes stays as it is.

    >>> [channels_last(np.zeros((9, *shape))).shape[1:] for shape in ((3, 32, 32), (32, 32, 3), (1, 28, 28), (28, 28))]
    [(32, 32, 3), (32, 32, 3), (28, 28), (28, 28)]
    """
    if images.ndim != 4:
        return images
    first, last = images.shape[1], images.shape[3]
    for usual in CHANNELS:
        if first in usual and last not in usual:
            images = np.moveaxis(images, 1, 3)
            break
        if last in usual:
            break
    return images[..., 0] if images.shape[3] == 1 else np.ascontiguousarray(images)
