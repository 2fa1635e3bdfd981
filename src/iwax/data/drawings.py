"""Omniglot's released drawings: from the bytes of a zip to pixels, and from 105x105 to 28x28."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from io import BytesIO

import numpy as np

from iwax.data.payload import ChecksumError, Payload, verify

SIDE = 105
_PACKED_BYTES = 1379  # of one drawing
_MEMBER_LIMIT = 1 << 16  # the largest real member has 522 bytes
_MEMBER = re.compile(r"(?:.*/)?(?P<alphabet>[^/]+)/character(?P<character>\d\d)/\d{4}_(?P<drawer>\d\d)\.png")


def read_drawings(content: bytes, payload: Payload, origin: object) -> np.ndarray:
    """The drawings (N, 105, 105) of a zip's bytes, bool with ink = True, by (alphabet, character, drawer).

    Nothing is extracted; members that are no drawings by their path are ignored. The pixels, packed row by row
    into 1,379 bytes a drawing, must have the payload's SHA-256, which also proves the names right.
    Raises ChecksumError.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = _drawings_in_order(archive)
            expected = payload.size // _PACKED_BYTES
            if len(members) != expected:
                raise ChecksumError(f"Expected {origin} to hold {expected} drawings; got {len(members)}. Replace it.")
            drawings = np.stack([_ink(archive, member) for member in members])
    except _UNREADABLE as error:
        found = hashlib.sha256(content).hexdigest()
        raise ChecksumError(
            f"Expected the pixels of {payload.name} from {origin} to have SHA-256 {payload.sha256}; got a damaged zip "
            f"({error}) with SHA-256 {found}. Replace the file: it is truncated or altered."
        ) from error
    verify(payload, np.packbits(drawings.reshape(len(drawings), -1), axis=1).tobytes(), origin)
    return drawings


# What zipfile and Pillow raise for damaged, encrypted, or unsupported content; Pillow's own error is an OSError.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, SyntaxError, NotImplementedError, RuntimeError)


def _drawings_in_order(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    keyed = []
    for member in archive.infolist():
        if match := _MEMBER.fullmatch(member.filename):
            keyed.append(((match["alphabet"], match["character"], match["drawer"]), member))
    return [member for _, member in sorted(keyed, key=lambda pair: pair[0])]


def _ink(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    from PIL import Image

    with archive.open(member) as file:
        encoded = file.read(_MEMBER_LIMIT)
    with Image.open(BytesIO(encoded), formats=("PNG",)) as image:
        if image.size != (SIDE, SIDE):  # known from the header, before anything is decoded
            raise zipfile.BadZipFile(f"{member.filename} is {image.width}x{image.height}, not {SIDE}x{SIDE}")
        return np.asarray(image.convert("L")) < 128


def resize(drawings: np.ndarray) -> np.ndarray:
    """Drawings (N, 105, 105) as grey images (N, 28, 28), uint8 with ink = 255.

    Pillow's antialiased bicubic resize of the float ink image, clipped to [0, 1]; then round(255 v), which moves
    an intensity by less than 0.002, about what the resize itself differs from the IWAE paper's (RMSE 0.0011).
    """
    from PIL import Image

    resized = np.empty((len(drawings), 28, 28), np.uint8)
    for index, drawing in enumerate(drawings):
        image = Image.fromarray(drawing.astype(np.float32)).resize((28, 28), Image.Resampling.BICUBIC)
        resized[index] = np.rint(255 * np.clip(np.asarray(image), 0, 1))
    return resized
