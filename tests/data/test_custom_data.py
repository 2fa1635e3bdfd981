import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iwax.data import DataWarning, as_array
from iwax.data.catalog import load
from iwax.data.custom import load_own, split_at_random

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), dtype=np.uint8)
VECTORS = np.random.default_rng(0).normal(size=(20, 3))


@pytest.fixture
def save(tmp_path):
    def make(*arrays, **named):
        path = tmp_path / ("own.npz" if named else "own.npy")
        np.savez(path, **named) if named else np.save(path, arrays[0])
        return path

    return make


@pytest.mark.parametrize("array", [IMAGES, VECTORS, IMAGES > 99, IMAGES / 255], ids=["uint8", "real", "bool", "float"])
def test_one_array_is_split_by_rule_and_seed(save, array):
    path = save(array)
    data = load(path)
    assert (len(data.train), len(data.test)) == (18, 2)
    assert data.split == "test_fraction=0.1,seed=0"
    assert data.train.dtype == (np.float32 if array.dtype == np.float64 else array.dtype)
    again, other = load(str(path), data.split), load(path, "seed=1")
    np.testing.assert_array_equal(data.test, again.test)
    assert again.checksums == data.checksums != other.checksums


def test_arrays_train_and_test_are_taken_as_they_are(save):
    path = save(train=IMAGES[:15], test=IMAGES[15:])
    for split in (None, "given"):
        data = load(path, split)
        np.testing.assert_array_equal(data.train, IMAGES[:15])
        np.testing.assert_array_equal(data.test, IMAGES[15:])
        assert data.split == "given"
    with pytest.raises(
        ValueError, match=r"Expected split 'given' for .*own\.npz, which has train and test; got 'seed=1'"
    ):
        load(path, "seed=1")


def test_a_npz_of_one_array_is_split(save):
    assert len(load(save(anything=IMAGES), "test_fraction=0.25").test) == 5


def test_which_examples_are_for_testing_never_changes():
    train, test, _ = split_at_random(np.arange(20), "test_fraction=0.2,seed=42")
    assert test.tolist() == [0, 1, 15, 17]
    assert train.tolist() == [i for i in range(20) if i not in test]


@settings(deadline=None)
@given(n=st.integers(2, 200), fraction=st.floats(0.001, 0.999), seed=st.integers(0, 2**32 - 1))
def test_every_split_parts_the_examples_and_can_be_given_again(n, fraction, seed):
    array = np.arange(n)
    train, test, rule = split_at_random(array, f"test_fraction={fraction:g},seed={seed}")
    assert len(train) > 0
    assert len(test) > 0
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), array)
    np.testing.assert_array_equal(split_at_random(array, rule)[1], test)


@pytest.mark.parametrize("rule", ["half", "test_fraction=0", "test_fraction=1", "seed=-1", "seed=x", "n=3", "seed=1=2"])
def test_a_bad_rule_is_refused(save, rule):
    with pytest.raises(ValueError, match=rf"Expected split of the form 'test_fraction=0.1,seed=0', .*; got '{rule}'"):
        load(save(IMAGES), rule)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (IMAGES * 1j, TypeError, r"Expected .*own\.npy:data of dtype uint8, bool or float or integers; got complex128"),
        (IMAGES[..., None, None], ValueError, r"of shape \(N, height, width\), .* or \(N, D\); got \(20, 6, 5, 1, 1\)"),
        (IMAGES[:, 0, 0] % 10, ValueError, r"got \(20,\): one integer for each example, from 0 to 9, as labels"),
        (
            np.full((20, 6, 5), 7, np.uint8),
            ValueError,
            r"data to differ somewhere; got 20 .* \(6, 5\), every value of them 7",
        ),
        (np.zeros(5), ValueError, r"got \(5,\)"),
        (np.zeros((0, 3)), ValueError, "to hold at least one example"),
        (np.where(VECTORS > 1, np.nan, VECTORS), ValueError, "to be finite; got [0-9]+ NaN or infinite values"),
        (VECTORS * 1e300, ValueError, "as float32 to be finite; got"),
        (IMAGES[:1], ValueError, "to hold at least 2 examples, as some are for testing; got one"),
        (np.array([{}, {}]), ValueError, r"Expected .*own\.npy to hold plain numeric arrays; got .*object"),
    ],
)
def test_bad_arrays_are_refused(save, array, error, message):
    with pytest.raises(error, match=message):
        load(save(array))


def test_bad_npz_are_refused(save):
    with pytest.raises(ValueError, match=r"to hold one array, or `train` and `test`; got data1, data2\. Save it again"):
        load(save(data1=IMAGES, data2=IMAGES))
    with pytest.raises(ValueError, match=r"examples of one shape; got \(6, 5\) and \(6, 4\)\. Resize"):
        load(save(train=IMAGES, test=IMAGES[:, :, :4]))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("damage", [lambda c: c[:-40], lambda c: c[:20], lambda c: b"", lambda c: b"text, not arrays"])
def test_damaged_files_are_refused_in_one_line(save, suffix, damage):
    path = save(IMAGES) if suffix == "npy" else save(train=IMAGES, test=IMAGES)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        ValueError, match=rf"Expected .*own\.{suffix} to hold plain numeric arrays; got .*Save it again"
    ):
        load(path)


def test_what_is_not_there_is_refused(tmp_path):
    for path in (tmp_path / "own.npy", str(tmp_path / "folder"), "here/data.csv", "own.npz"):
        with pytest.raises(
            ValueError,
            match=r"Expected dataset to be a file of \.npy, \.npz, .* or a folder of images; got .*: there is nothing",
        ):
            load(path)
    (tmp_path / "faces").mkdir()
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ValueError, match=r"got .*facse: there is nothing\. Did you mean 'faces'\?"):
        load(tmp_path / "facse")
    with pytest.raises(ValueError, match=r"got .*notes\.txt, which is none\."):
        load(tmp_path / "notes.txt")


def test_channels_that_come_first_are_said_to_be_taken_for_rows(save):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 12, 12), np.uint8)
    with pytest.warns(
        DataWarning, match=r"of shape \(3, 12, 12\) are taken as 3 x 12 pixels of 12 channels, which come"
    ):
        assert load(save(images)).train.shape[1:] == (3, 12, 12)
    assert load(save(images.transpose(0, 2, 3, 1))).notice is None


def test_a_handful_of_examples_is_said_to_be_one(save, tmp_path):
    """An image alone, 8 x 8, was taken for eight rows without a word."""
    with pytest.warns(DataWarning, match=r"8 examples of shape \(8,\) are few .* One image has the shape \(1, height"):
        load(save(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)))
    enough = np.random.default_rng(0).integers(0, 256, (10, 8), np.uint8)
    np.save(tmp_path / "enough.npy", enough)
    assert load(tmp_path / "enough.npy").notice is None


def write(folder, images, mode="L"):
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).convert(mode).save(folder / f"{index:03}.png")


def test_a_folder_of_images(tmp_path):
    write(tmp_path / "images" / "a", IMAGES[:12])
    write(tmp_path / "images" / "b", IMAGES[12:], "RGB")
    (tmp_path / "images" / "notes.txt").touch()
    data = load(tmp_path / "images", "test_fraction=0.25,seed=7")
    train, test, _ = split_at_random(IMAGES, "test_fraction=0.25,seed=7")
    np.testing.assert_array_equal(data.train, train)
    np.testing.assert_array_equal(data.test, test)


def test_folders_train_and_test_are_taken_as_they_are(tmp_path):
    write(tmp_path / "train", IMAGES[:15])
    write(tmp_path / "test", IMAGES[15:])
    data = load(tmp_path)
    assert data.split == "given"
    np.testing.assert_array_equal(data.test, IMAGES[15:])


def idx(images):
    return np.array([0x0803, *images.shape], ">u4").tobytes() + images.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_of_idx_files_such_as_fashion_mnists(tmp_path, packed):
    for name, images in (("train", IMAGES[:15]), ("t10k", IMAGES[15:])):
        path = tmp_path / f"{name}-images-idx3-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(idx(images)) if packed else idx(images))
    (tmp_path / "train-labels-idx1-ubyte").touch()
    data = load(tmp_path)
    assert data.split == "given"
    np.testing.assert_array_equal(data.train, IMAGES[:15])
    np.testing.assert_array_equal(data.test, IMAGES[15:])
    whole = path.read_bytes()
    for damaged in (whole[:-7], b"", idx(IMAGES)[::-1]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte.* to be a whole IDX file of images; got .*Fetch"):
            load(tmp_path)


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"to hold images \(\.png, .*\); got none"):
        load(tmp_path)
    write(tmp_path / "mixed", [IMAGES[0], IMAGES[1], IMAGES[2, :5]])
    with pytest.raises(ValueError, match=r"one size, \(6, 5\) as .*000\.png; got \(5, 5\) in .*002\.png\. Resize"):
        load(tmp_path / "mixed")
    (tmp_path / "mixed" / "002.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"Expected .*002\.png to be an 8-bit image; got cannot identify"):
        load(tmp_path / "mixed")
    Image.fromarray(IMAGES[0].astype(np.uint16)).save(tmp_path / "mixed" / "002.png")
    with pytest.raises(ValueError, match=r"002\.png to be an 8-bit image; got mode I;16, more than 8 bits"):
        load_own(tmp_path / "mixed")


def test_a_tiff_that_is_damaged_after_its_first_picture_is_refused_and_named(tmp_path):
    """Pillow reads on only when asked how many pictures there are, and then raises a TypeError."""
    write(tmp_path / "pictures", list(IMAGES[:2]))
    tmp_path /= "pictures"
    Image.fromarray(IMAGES[0]).save(tmp_path / "000.tif")
    content = bytearray((tmp_path / "000.tif").read_bytes())
    (directory,) = struct.unpack("<I", content[4:8])
    (fields,) = struct.unpack("<H", content[directory : directory + 2])
    following = directory + 2 + 12 * fields
    content[following : following + 4] = struct.pack("<I", len(content))
    content += struct.pack("<HHHIII", 1, 259, 3, 1, 1, 0)  # a directory without height and width
    (tmp_path / "000.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected .*000\.tif to be an 8-bit image; got Missing dimensions\. Remove"):
        load(tmp_path)


def ink(alpha: bool, palette: bool) -> Image.Image:
    """A cross drawn in black on nothing: all pixels black, and the picture in their alpha."""
    shape = np.zeros((6, 5), np.uint8)
    shape[2], shape[:, 1] = 255, 255
    if palette:
        image = Image.fromarray(shape // 255).convert("P")
        image.putpalette([0, 0, 0] * 256)
        image.info["transparency"] = 0
        return image
    black = np.zeros((6, 5), np.uint8)
    return Image.merge("LA", [Image.fromarray(black), Image.fromarray(shape)]) if alpha else Image.fromarray(shape)


@pytest.mark.parametrize(("mode", "palette"), [("LA", False), ("RGBA", False), ("P", True)])
def test_what_is_transparent_is_white_or_black_by_choice_and_said(tmp_path, mode, palette):
    """The control: alpha dropped, as PIL's convert("L") does, every pixel is black."""
    image = ink(True, palette).convert(mode) if mode != "P" else ink(True, palette)
    assert not np.asarray(image.convert("L")).any()
    image.putpixel((0, 0), (255, 255) if mode == "LA" else (255,) * 4 if mode == "RGBA" else 1)  # or all is black
    for number in range(10):
        image.save(tmp_path / f"{number}.png")
    with pytest.warns(DataWarning, match=r"10 of 10 images of .* have transparent pixels, which became white; .*black"):
        data = load(tmp_path)
    expected = 255 - np.asarray(ink(False, False))
    np.testing.assert_array_equal(data.train[0][:, 1:], expected[:, 1:])
    np.testing.assert_array_equal(as_array([image])[0], data.train[0])
    if mode != "P":
        assert not load(tmp_path, background="black").train[0][:, 1:].any()
    assert load(tmp_path, background="white").notice is None
    with pytest.raises(ValueError, match="Expected background to be one of white, black; got 'grey'"):
        load(tmp_path, background="grey")


def test_half_transparent_ink_is_half_grey(tmp_path):
    image = Image.fromarray(np.array([[[0, 0, 0, 51], [0, 0, 0, 255]]], np.uint8), "RGBA")
    assert as_array([image]).tolist() == [[[204, 0]]]


@pytest.mark.filterwarnings("ignore:2 examples .* are few")
def test_a_picture_is_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is on the right
    for name in ("a.png", "b.png"):
        Image.fromarray(IMAGES[0]).save(tmp_path / name, exif=exif)
    found = load(tmp_path).train[0]
    np.testing.assert_array_equal(found, np.rot90(IMAGES[0], -1))
    assert found.shape != IMAGES[0].shape  # the control: as stored it lies on its side


def test_colour_stays_colour_unless_grey_is_asked_for(tmp_path):
    """The control: the grey value that Pillow makes of each image."""
    colours = np.random.default_rng(1).integers(0, 256, (20, 6, 5, 3), np.uint8)
    write(tmp_path / "colour", colours, "RGB")
    data = load(tmp_path / "colour", "test_fraction=0.25")
    np.testing.assert_array_equal(data.train, split_at_random(colours, data.split)[0])
    assert data.notice is None
    grey = load(tmp_path / "colour", data.split, grey=True)
    by_pillow = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colours])
    np.testing.assert_array_equal(grey.train, split_at_random(by_pillow, data.split)[0])
    np.save(tmp_path / "colour.npy", colours)
    np.testing.assert_array_equal(load(tmp_path / "colour.npy", data.split, grey=True).train, grey.train)
    np.save(tmp_path / "real.npy", colours / 255)
    np.testing.assert_allclose(load(tmp_path / "real.npy", data.split, grey=True).train, grey.train / 255, atol=0.003)


def test_grey_images_by_whatever_mode_are_grey_and_become_colour_beside_colour(tmp_path):
    write(tmp_path / "all", IMAGES[:12], "RGB")
    assert load(tmp_path / "all").train.shape == (11, 6, 5)
    red = np.zeros((6, 5, 3), np.uint8)
    red[..., 0] = 255
    write(tmp_path / "all" / "more", [red, red], "RGB")
    data = load(tmp_path / "all", "test_fraction=0.01")
    assert data.train.shape == (13, 6, 5, 3)
    threefold = np.stack([*np.repeat(IMAGES[:12, ..., None], 3, axis=3), red, red])
    np.testing.assert_array_equal(data.train, split_at_random(threefold, data.split)[0])
    np.testing.assert_array_equal(as_array([Image.fromarray(red), Image.fromarray(IMAGES[0])])[0], red)


@pytest.mark.parametrize("array", [VECTORS, IMAGES[..., None].repeat(2, axis=3)], ids=["vectors", "two channels"])
def test_what_has_no_colour_is_not_made_grey(save, array):
    with pytest.raises(ValueError, match=r"Expected images \(N, height, width, 3\) to make grey; got shape \(20,"):
        load(save(array), grey=True)
    assert load(save(IMAGES[..., None]), grey=True).train.shape == (18, 6, 5)


def test_a_palettes_indices_are_no_grey_values():
    image = Image.fromarray(IMAGES[0] // 128).convert("P")
    image.putpalette([value for pair in ((9,) * 3, (200,) * 3) for value in pair] + [0] * 762)
    indices = np.asarray(image)
    assert set(indices.ravel()) == {0, 1}  # the control: what numpy makes of it
    np.testing.assert_array_equal(as_array([image])[0], np.where(indices == 1, 200, 9))


def test_several_frames_are_refused(tmp_path):
    frames = [Image.fromarray(image) for image in IMAGES[:3]]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"a\.gif to be an 8-bit image; got 3 frames"):
        load(tmp_path)


def test_hidden_files_are_no_images(tmp_path):
    write(tmp_path / "images", IMAGES)
    for hidden in ("._000.png", ".cache/000.png", "__MACOSX/._000.png"):
        (tmp_path / "images" / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / hidden).write_bytes(b"of another program")
    data = load(tmp_path / "images")
    assert len(data.train) + len(data.test) == 20


@pytest.mark.parametrize(("train", "test"), [("training", "testing"), ("Train", "Test"), ("TRAINING", "test")])
def test_halves_are_known_by_either_name_in_any_case(tmp_path, train, test):
    """The control: all images mixed and split at random, 18 to 2, as they were."""
    write(tmp_path / train, IMAGES[:15])
    write(tmp_path / test, IMAGES[15:])
    data = load(tmp_path)
    assert (data.split, len(data.train)) == ("given", 15)
    np.testing.assert_array_equal(data.test, IMAGES[15:])


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_a_folder_for_validation_is_a_third_part(tmp_path, name):
    for folder, images in (("train", IMAGES[:12]), ("test", IMAGES[12:17]), (name, IMAGES[17:])):
        write(tmp_path / folder, images)
    data = load(tmp_path)
    assert (len(data.train), len(data.test), data.notice) == (12, 5, None)
    np.testing.assert_array_equal(data.validation, IMAGES[17:])
    assert set(data.checksums) == {"train", "test", "validation"}


def test_what_is_beside_two_parts_is_left_out_and_named(tmp_path):
    for folder, images in (("train", IMAGES[:12]), ("test", IMAGES[12:16]), ("extra", IMAGES[16:])):
        write(tmp_path / folder, images)
    with pytest.warns(DataWarning, match="Neither trained nor tested on: extra of "):
        data = load(tmp_path)
    assert (len(data.train), len(data.test), data.validation) == (12, 4, None)


@pytest.mark.parametrize(
    "names",
    [
        ("train",),
        ("Testing",),
        ("train", "val"),
        ("val", "test"),
        ("a", "train"),
        ("train", "Training", "test"),
        ("test", "train", "val", "dev"),
    ],
)
def test_half_of_the_halves_is_refused_and_not_mixed(tmp_path, names):
    for name in names:
        write(tmp_path / name, IMAGES)
    with pytest.raises(ValueError, match=r"to have one folder for training and one for testing; got .*\. Name them"):
        load(tmp_path)


def test_halves_further_down_are_refused_and_not_mixed(tmp_path):
    for half in ("train", "test"):
        write(tmp_path / "images" / half, IMAGES[:10])
    with pytest.raises(
        ValueError, match=r"Expected the images of .* to be of one part of a data set; got .*images/test, too\. Give"
    ):
        load(tmp_path)
    assert load(tmp_path / "images").split == "given"


def test_the_name_of_own_data_is_their_path_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("own.npy", IMAGES)
    name = load("./own.npy").name
    monkeypatch.chdir("/")
    assert name == str(tmp_path / "own.npy")
    np.testing.assert_array_equal(load(name).train, load("own.npy", data_dir=tmp_path).train)
    with pytest.raises(ValueError, match=r"got /own\.npy"):  # the control: the path as it was given
        load("own.npy")


@pytest.mark.usefixtures("x64")
def test_float64_stays_as_it_is_under_x64(save):
    data = load(save(VECTORS))
    assert data.train.dtype == np.float64
    assert np.isin(data.train, VECTORS).all()


def test_counts_of_any_integer_type_are_data(save):
    counts = np.arange(40, dtype=">i4").reshape(20, 2)
    data = load(save(counts))
    assert data.train.dtype == np.int32
    assert data.train.dtype.isnative
    assert sorted([*data.train.ravel(), *data.test.ravel()]) == list(range(40))


@pytest.mark.parametrize("names", [("x_train", "x_test"), ("train_images", "test_images"), ("Train", "TEST")])
def test_arrays_of_a_npz_by_the_names_that_others_give_them(save, names):
    """The control: labels of the same length, which are left out and named."""
    labels = IMAGES[:, 0, 0]
    others = {name.replace("x_", "y_").replace("images", "labels"): labels for name in names if "_" in name}
    path = save(**{names[0]: IMAGES[:15], names[1]: IMAGES[15:]}, **others, x_val=IMAGES[:3])
    if others:
        with pytest.warns(DataWarning, match=f"Neither trained nor tested on: {', '.join(others)} of .*own.npz"):
            data = load(path)
    else:
        data = load(path)
    np.testing.assert_array_equal(data.train, IMAGES[:15])
    np.testing.assert_array_equal(data.test, IMAGES[15:])
    np.testing.assert_array_equal(data.validation, IMAGES[:3])


@pytest.mark.parametrize("name", ["x", "data", "images", "x_train"])
def test_all_examples_beside_their_labels_are_split(save, name):
    alone = r" x_train is all that .*own\.npz has of a part, so some of it is for testing" if name == "x_train" else "$"
    with pytest.warns(DataWarning, match=rf"Neither trained nor tested on: y of .*own\.npz\.{alone}"):
        data = load(save(**{name: IMAGES, "y": IMAGES[:, 0, 0]}))
    assert (len(data.train), len(data.test)) == (18, 2)


@pytest.mark.parametrize("names", [("x_test", "y"), ("x_train", "val"), ("train", "x_train", "test"), ("x", "data")])
def test_arrays_that_could_be_either_are_refused(save, names):
    with pytest.raises(ValueError, match=r"to hold one array, or `train` and `test`; got .*, .*\. Save it again"):
        load(save(**{name: IMAGES for name in names}))
