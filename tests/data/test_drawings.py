import hashlib
import io
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from iwax.data import ChecksumError
from iwax.data.drawings import read_drawings, resize
from iwax.data.payload import Payload

RNG = np.random.default_rng(0)
NAMES = [f"images_x/{a}/character{c}/{n}_{d}.png" for a, c, n in (("B", "02", "0003"), ("A", "01", "0009"))
         for d in ("02", "01")]  # fmt: skip
INK = {name: RNG.random((105, 105)) < 0.1 for name in NAMES}
IN_ORDER = np.stack([INK[NAMES[i]] for i in (3, 2, 1, 0)])
PAYLOAD = Payload(
    "omniglot",
    "images_x.zip",
    4 * 1379,
    hashlib.sha256(np.packbits(IN_ORDER.reshape(4, -1), axis=1).tobytes()).hexdigest(),
)


def png(ink, mode="1"):
    file = io.BytesIO()
    Image.fromarray(~ink).convert(mode).save(file, "PNG")
    return file.getvalue()


def zipped(members, **options):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", **options) as archive:
        warnings.simplefilter("ignore")  # about members of one name
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


MEMBERS = [(name, png(ink)) for name, ink in INK.items()]


def test_drawings_come_by_alphabet_character_and_drawer_with_ink_true():
    np.testing.assert_array_equal(read_drawings(zipped(MEMBERS), PAYLOAD, "x.zip"), IN_ORDER)


def test_greyscale_files_are_read_alike():
    members = [(name, png(ink, "L")) for name, ink in INK.items()]
    np.testing.assert_array_equal(read_drawings(zipped(members), PAYLOAD, "x.zip"), IN_ORDER)


def test_other_members_are_ignored_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = ["images_x/", "README.txt", "../../escape.png", "/etc/character01/passwd.png", "C/character1/0001_01.png",
              "__MACOSX/images_x/A/character01/._0009_01.png", "A/character01/0009_01.png.exe"]  # fmt: skip
    content = zipped([*((name, b"malicious") for name in others), *MEMBERS])
    np.testing.assert_array_equal(read_drawings(content, PAYLOAD, "x.zip"), IN_ORDER)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("members", [MEMBERS[:3], [*MEMBERS, ("A/character03/0001_01.png", MEMBERS[0][1])], []])
def test_a_wrong_number_of_drawings_is_refused(members):
    with pytest.raises(ChecksumError, match=rf"Expected x\.zip to hold 4 drawings; got {len(members)}"):
        read_drawings(zipped(members), PAYLOAD, "x.zip")


@pytest.mark.parametrize(
    "members",
    [
        [(MEMBERS[0][0], MEMBERS[1][1]), *MEMBERS[1:]],  # another drawing under this name
        [*MEMBERS[:3], MEMBERS[0]],  # one name twice
        [(MEMBERS[0][0], png(~INK[NAMES[0]])), *MEMBERS[1:]],  # paper and ink exchanged
    ],
)
def test_wrong_pixels_are_refused_with_both_checksums(members):
    with pytest.raises(ChecksumError, match=rf"Expected images_x\.zip from x\.zip .*{PAYLOAD.sha256}.*; got [0-9a-f]+"):
        read_drawings(zipped(members), PAYLOAD, "x.zip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(MEMBERS)[:-100], "not a zip file"),
        (b"", "not a zip file"),
        (zipped([(MEMBERS[0][0], b"no picture"), *MEMBERS[1:]]), "cannot identify image file"),
        (zipped([(MEMBERS[0][0], MEMBERS[0][1][:-300]), *MEMBERS[1:]]), ""),
        (zipped([(MEMBERS[0][0], png(np.zeros((9000, 9000), bool))), *MEMBERS[1:]]), "9000x9000, not 105x105"),
        (zipped(MEMBERS).replace(MEMBERS[0][1][60:90], bytes(30)), "Bad CRC-32"),
    ],
)
def test_a_damaged_zip_is_refused_in_one_line(content, message):
    with pytest.raises(ChecksumError, match=rf"Expected the pixels of .*; got a damaged zip \(.*{message}") as caught:
        read_drawings(content, PAYLOAD, "x.zip")
    assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert "\n" not in str(caught.value)


def test_resize_keeps_orientation_polarity_and_ink():
    drawing = np.zeros((1, 105, 105), bool)
    drawing[0, 10:20, 60:100] = True  # near the top, to the right
    grey = resize(drawing)[0] / 255
    rows, columns = np.nonzero(grey > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 4, 16, 26)
    assert grey.sum() * (105 / 28) ** 2 == pytest.approx(400, rel=0.05)
    assert grey[15:].max() == 0


def test_resize_is_pillows_bicubic_within_half_a_grey_level():
    drawing = RNG.random((3, 105, 105)) < 0.1
    for one, resized in zip(drawing, resize(drawing), strict=True):
        exact = np.asarray(Image.fromarray(one.astype(np.float32)).resize((28, 28), Image.Resampling.BICUBIC))
        assert np.abs(resized / 255 - np.clip(exact, 0, 1)).max() < 0.002
