"""Files that others made, mutated: arrays, archives, tables, images, weights. Data, or one line that names the file.

A mutant is a good file with some of its bytes changed, left out, doubled or put elsewhere, mostly near its beginning
and its end, where formats keep what they say of themselves; or a file made to harm: an archive that unpacks to more
than it says, that is encrypted, or whose header is endless.
"""

import gzip
import io
import random
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from iwax.data import load
from iwax.errors import IwaxError
from iwax.impute.files import Sheet
from iwax.judging.weights import judge_weights
from iwax.runs import read_checkpoint

__all__ = ["bombs", "good_files", "mutant", "mutate", "peak_of"]

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4), np.uint8)
TABLE = np.random.default_rng(1).normal(size=(12, 3))
Reader = Callable[[Path], Any]


def good_files() -> dict[str, tuple[bytes, Reader]]:
    """Name -> content of a good file, and what reads it."""
    weights = np.random.default_rng(2).normal(size=(128, 5))
    files: dict[str, tuple[bytes, Reader]] = {
        "own.npy": (_npy(IMAGES), load),
        "fortran.npy": (_npy(np.asfortranarray(IMAGES.astype(">f4"))), load),
        "own.npz": (_npz(np.savez, train=IMAGES, test=IMAGES[:4]), load),
        "packed.npz": (_npz(np.savez_compressed, train=IMAGES, test=IMAGES[:4], labels=np.array(["a"])), load),
        "log_w.npy": (_npy(weights), lambda path: judge_weights([path])),
        "log_w.npz": (_npz(np.savez, log_w=weights, other=np.ones(2)), lambda path: judge_weights([path])),
        "own.csv": (_csv(), load),
        "imputed.csv": (_csv(), lambda path: Sheet.read(path)),
        "train-images-idx3-ubyte": (_idx(), load),
        "images-idx3-ubyte.gz": (gzip.compress(_idx()), load),
        "state.safetensors": (_safetensors(), read_checkpoint),
    }
    files |= _with_parquet() | _with_pictures()
    return files


def _with_parquet() -> dict[str, tuple[bytes, Reader]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return {}
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table({f"x{i}": TABLE[:, i] for i in range(3)}), sink)
    return {"own.parquet": (sink.getvalue(), load), "imputed.parquet": (sink.getvalue(), lambda path: Sheet.read(path))}


def _with_pictures() -> dict[str, tuple[bytes, Reader]]:
    try:
        from PIL import Image
    except ImportError:
        return {}
    found: dict[str, tuple[bytes, Reader]] = {}
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp", "pgm"):
        sink = io.BytesIO()
        Image.fromarray(np.kron(IMAGES[0], np.ones((4, 4), np.uint8))).save(sink, _format(suffix))
        found[f"one.{suffix}"] = (sink.getvalue(), _load_beside_another)
    return found


def _format(suffix: str) -> str:
    return {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM"}.get(suffix, suffix.upper())


def _load_beside_another(path: Path) -> Any:
    """A folder of two pictures, one of them the mutant."""
    from PIL import Image

    other = path.parent / "another.png"
    if not other.exists():
        Image.fromarray(np.kron(IMAGES[1], np.ones((4, 4), np.uint8))).save(other)
    return load(path.parent)


def _npy(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def _npz(save: Callable, **arrays: np.ndarray) -> bytes:
    sink = io.BytesIO()
    save(sink, **arrays)
    return sink.getvalue()


def _csv() -> bytes:
    rows = [",".join(f"{value:.4f}" for value in row) for row in TABLE]
    return "\n".join(["a,b,c", *rows, ""]).encode()


def _idx() -> bytes:
    return struct.pack(">HBBIII", 0, 8, 3, *IMAGES.shape) + IMAGES.tobytes()


def _safetensors() -> bytes:
    from iwax.runs import pack_checkpoint

    return pack_checkpoint({"w": np.ones((3, 2), np.float32), "b": np.zeros(2)}, {"config": "{}"})


def mutant(content: bytes, rng: random.Random) -> bytes:
    """A good file with one to four changes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not changed:
            break
        place = _place(len(changed), rng)
        kind = rng.randrange(7)
        if kind <= 1:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 3:
            del changed[place : place + rng.choice((1, 2, 4, 16, 64))]
        elif kind == 4:
            piece = changed[place : place + rng.choice((1, 4, 16, 64))]
            changed[place:place] = piece * rng.choice((1, 2, 50))
        elif kind == 5:
            number = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1))
            changed[place : place + 8] = number.to_bytes(8, rng.choice(("little", "big")))
        else:
            del changed[place:]
    return bytes(changed)


def _place(size: int, rng: random.Random) -> int:
    """Anywhere, but mostly in the first and the last 200 bytes."""
    near = min(size, 200)
    return (rng.randrange(near), size - 1 - rng.randrange(near), rng.randrange(size))[rng.randrange(3)]


def mutate(scratch: Path, count: int, seed: int = 0, only: str = "") -> dict[str, Any]:
    """Read `count` mutants, those of each kind in turn; how many were refused, by kind, and what was wrong.

    Arguments:
        scratch: a folder, one below it for each kind.
        only: a part of the names of the kinds to be read.
    """
    rng, files = random.Random(seed), {name: v for name, v in good_files().items() if only in name}
    counts = {name: [0, 0] for name in files}
    wrong: list[str] = []
    for number in range(count):
        name = list(files)[number % len(files)]
        content, reader = files[name]
        path = scratch / name.replace(".", "-") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutant(content, rng))
        refused, problem = outcome(path, reader)
        counts[name][0] += 1
        counts[name][1] += refused
        if problem:
            kept = scratch / f"kept-{number}-{name}"
            kept.write_bytes(path.read_bytes())
            wrong.append(f"{kept}: {problem}")
    return {"counts": counts, "wrong": wrong}


def outcome(path: Path, reader: Reader) -> tuple[bool, str]:
    """Whether a file was refused, and what was wrong with how."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader(path)
    except IwaxError as error:
        said = str(error)
        named = path.name in said or str(path.parent) in said
        return True, "" if named and "\n" not in said else f"does not name {path.name} in one line: {said!r}"
    except Exception as error:
        return True, f"{type(error).__name__}: {error}"
    return False, ""


def bombs(folder: Path, size: int = 200_000_000) -> Iterator[tuple[str, Path, Reader]]:
    """Files made to harm, which unpack to `size` bytes: what each is, where it is, and what reads it."""
    huge = bytes(size)

    def archive(name: str, header: bytes, body: bytes) -> Path:
        path = folder / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            file.writestr("data.npy", header + body)
        return path

    small = _npy(IMAGES)
    yield "an archive that unpacks to more than its header says", archive("more.npz", small, huge), load
    endless = b"\x93NUMPY\x02\x00" + len(huge).to_bytes(4, "little")
    yield "an archive whose header is endless", archive("endless.npz", endless, huge), load
    plain = folder / "endless.npy"
    plain.write_bytes(endless + bytes(1000))
    yield "an array whose header is endless", plain, load
    packed = folder / "more-images-idx3-ubyte.gz"
    packed.write_bytes(gzip.compress(_idx() + huge, 1))
    yield "compressed images of more than they say", packed, load
    less = folder / "less-images-idx3-ubyte.gz"
    less.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2**31, 28, 28), 1))
    yield "images of which there are fewer than they say", less, load
    locked = folder / "locked.npz"
    content = bytearray(_npz(np.savez, data=IMAGES))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(content)
    yield "an encrypted archive", locked, load
    deep = folder / "deep.npy"
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + b"(" * 4000 + b"}"
    deep.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    yield "an array whose header is nested deeply", deep, load
    pickled = folder / "pickled.npy"
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    yield "an array of pickled objects", pickled, load


def peak_of(path: Path, reader: Reader) -> tuple[bool, str, int]:
    """`outcome`, and the most memory that Python and NumPy took meanwhile, in bytes."""
    tracemalloc.start()
    try:
        refused, problem = outcome(path, reader)
        return refused, problem, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
