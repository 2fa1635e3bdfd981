"""Build the package, install it into empty environments outside the repository, and use it there as a stranger would.

The light install (no extra) trains, evaluates, and misses what draws in one line; with the extra `report`, it draws.

python scripts/check_package.py [FOLDER]     FOLDER: where to work and leave everything; a temporary one if left out

Needs a package registry and takes some minutes; `make package` runs it.
"""

import email
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

PICTURES = {  # commands that only draw, or need what draws, and the package that they miss first
    ("sample", "runs/first"): "pillow",
    ("reconstruct", "runs/first"): "matplotlib",
    ("ssim", "runs/first", "--test-images", "5"): "scikit-image",
    ("report",): "jinja2",
}
MISSED = r'iwax: Expected {} to be installed for [^\n]*; pip install "iwax\[report\]" brings it\.\n'
ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900
PROBE = """
import sys, importlib.resources, importlib.metadata
import iwax
assert "jax" not in sys.modules, "import iwax waits for JAX"
files = importlib.resources.files("iwax")
assert "site-packages" in str(files), files
assert files.joinpath("py.typed").is_file()
assert iwax.__version__ == importlib.metadata.version("iwax")
assert all(getattr(iwax, name) is not None for name in iwax.__all__)
assert "torch" not in sys.modules and "numpyro" not in sys.modules
from iwax.extras import EXTRAS, is_installed
assert not any(map(is_installed, EXTRAS)), "an extra is installed"
"""


def main(folder: Path) -> None:
    """Raises SystemExit with the first thing that is wrong."""
    wheel, sdist = build(folder)
    check_wheel(wheel)
    check_sdist(sdist)
    for archive in (wheel, sdist):
        smoke(archive, folder / archive.name.removesuffix(".gz").replace(".", "-"))
    draw(wheel, folder / wheel.name.removesuffix(".gz").replace(".", "-"))
    print(f"{wheel.name} and {sdist.name} install and work.")


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel, built from the source archive, and that archive."""
    python = environment(folder / "build-environment")
    run(python, "-m", "pip", "install", "build")
    run(python, "-m", "build", "--outdir", str(folder / "dist"), str(ROOT))
    return next((folder / "dist").glob("*.whl")), next((folder / "dist").glob("*.tar.gz"))


def check_wheel(path: Path) -> None:
    """Every file of the package and no other; metadata in order."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        metadata = email.message_from_bytes(archive.read(one(names, r".*\.dist-info/METADATA")))
    tracked = run("git", "ls-files", "src/iwax", where=ROOT).splitlines()
    expected = {name.removeprefix("src/") for name in tracked}
    packed = {name for name in names if ".dist-info/" not in name}
    require(packed == expected, f"{path.name}: not the tracked files of src/iwax: {sorted(packed ^ expected)}")
    one(names, r".*\.dist-info/licenses/LICENSE")
    require(metadata["License-Expression"] == "Apache-2.0", f"licence {metadata['License-Expression']}")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    require(set(metadata.get_all("Provides-Extra")) == set(extras), f"extras {metadata.get_all('Provides-Extra')}")
    require("Typing :: Typed" in metadata.get_all("Classifier", []), "no classifier Typing :: Typed")
    require(metadata.get_payload(decode=True) == (ROOT / "README.md").read_bytes(), "the README is another")


def check_sdist(path: Path) -> None:
    """All that is tracked, so that the archive can be tested and documented, too."""
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    missing = set(run("git", "ls-files", where=ROOT).splitlines()) - packed
    require(not missing, f"{path.name} lacks {sorted(missing)}")


def smoke(archive: Path, folder: Path) -> None:
    """Installs into an empty environment, and goes through the command line and the README's Python in `folder`."""
    python = environment(folder / "environment")
    run(python, "-m", "pip", "install", str(archive))
    iwax = str(Path(python).with_name("iwax"))
    where = folder / "elsewhere"
    where.mkdir()
    require("Usage: iwax" in run(iwax, "--help", where=where), "iwax --help")
    run(python, "-c", PROBE, where=where)
    options = ["--model", "one-layer", "--objective", "piwae", "--num-groups", "4", "--num-samples", "4"]
    run(iwax, "train", *options, "--dataset", "mnist-sample", "--epochs", "1", "--out", "runs/first", where=where)
    evaluation = ["--num-samples", "640", "--test-images", "20", "--json"]
    require('"log_p"' in run(iwax, "evaluate", "runs/first", *evaluation, where=where), "iwax evaluate")
    run(iwax, "objectives", where=where)
    drawing = run(iwax, "evaluate", "runs/first", *evaluation, "--figures", where=where, also_errors=True)
    require("Left out figures/trust" in drawing and '"log_p"' in drawing, f"evaluate --figures: {drawing}")
    for command, package in PICTURES.items():
        told = run(iwax, *command, where=where, status=2, also_errors=True)
        require(bool(re.fullmatch(MISSED.format(package), told)), f"iwax {' '.join(command)} says {told}")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[:1]:
        require("over examples" in run(python, "-c", block, where=where), "the README's Python")
    print(f"{archive.name} works in {where}", flush=True)


def draw(archive: Path, folder: Path) -> None:
    """Adds the extra `report` to the environment of `smoke`, in which the same commands then draw."""
    python = str(environment_python(folder / "environment"))
    run(python, "-m", "pip", "install", f"{archive}[report]")
    iwax, where = str(Path(python).with_name("iwax")), folder / "elsewhere"
    for command in PICTURES:
        run(iwax, *command, where=where)
    for name in ("runs/first/samples.png", "runs/first/ssim.json", "iwax-report/index.html"):
        require((where / name).is_file(), f"with the extra report, there is no {name}")
    print(f"{archive.name}[report] draws in {where}", flush=True)


def environment(folder: Path) -> str:
    """The interpreter of a new, empty environment."""
    venv.create(folder, with_pip=True)
    return str(environment_python(folder))


def environment_python(folder: Path) -> Path:
    return folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def run(*command: str, where: Path | None = None, status: int = 0, also_errors: bool = False) -> str:
    """What a command prints; SystemExit with all it said unless it ends with the `status`."""
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=SECONDS, check=False)
    shown = " ".join(command).split("\n")[0]
    require(done.returncode == status, f"{shown}\nended with status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr * also_errors


def one(names: set[str], pattern: str) -> str:
    """The only name of that pattern."""
    found = [name for name in names if re.fullmatch(pattern, name)]
    require(len(found) == 1, f"expected one {pattern}; got {found}")
    return found[0]


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"check_package: {otherwise}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
