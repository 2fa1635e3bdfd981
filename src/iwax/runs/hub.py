"""Exported models on the Hugging Face hub: `hf:OWNER/NAME[@REVISION][/FILE]`, and how one gets there."""

import os
import tempfile
from pathlib import Path

from iwax.errors import IwaxError
from iwax.extras import check_installed
from iwax.runs.exported import SUFFIX, read_card

__all__ = ["HUB", "fetch_model", "is_on_hub", "push_model"]

HUB = "hf:"
FILE = "model.safetensors"
FORM = "hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME/FILE.safetensors"


def is_on_hub(source: object) -> bool:
    """Whether `source` is meant as the name of a model on the hub."""
    return str(source).startswith(HUB)


def fetch_model(source: str | os.PathLike[str]) -> Path:
    """The file of a model on the hub, in the hub's own cache, downloaded where it is not there yet.

    Arguments:
        source: hf:OWNER/NAME, with @REVISION for a branch, tag or commit, and /FILE where it is not model.safetensors.

    Raises:
        ValueError: not of that form, or the hub does not give it.
        MissingExtraError: huggingface_hub is not installed.
    """
    repository, revision, file = _parse(str(source))
    check_installed("huggingface_hub", "models on the hub")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo_id=repository, filename=file, revision=revision))
    except Exception as error:  # whatever the network and the hub may say
        raise _refused(f"{source} to be had, {file} of {repository}", error) from error


def push_model(path: str | os.PathLike[str], repository: str, *, private: bool = False) -> str:
    """Put an exported file on the hub, as model.safetensors, with its card as README.md; returns what `load` takes.

    Whoever is logged in (`hf auth login`, or the variable HF_TOKEN) must be allowed to write there.

    Arguments:
        path: what `iwax export` wrote.
        repository: OWNER/NAME; made if it is not there.
        private: whether a new one is private.

    Raises:
        ValueError: no exported file, or the hub refuses it.
        MissingExtraError: huggingface_hub is not installed.
    """
    repository, _, _ = _parse(HUB + repository)
    card, content = read_card(path), Path(path).read_bytes()
    check_installed("huggingface_hub", "models on the hub")
    from huggingface_hub import HfApi

    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(content)
        (Path(folder) / "README.md").write_text(card, encoding="utf-8")
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder)
        except Exception as error:
            raise _refused(f"the hub to take {Path(path).name} as {repository}", error) from error
    return HUB + repository


def _parse(source: str) -> tuple[str, str | None, str]:
    """Repository, revision and file."""
    owner, _, rest = source.removeprefix(HUB).partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name or (file and not file.endswith(SUFFIX)):
        raise IwaxError(f"Expected a model on the hub to be {FORM}; got {source}.")
    return f"{owner}/{name}", revision or None, file or FILE


def _refused(what: str, error: Exception) -> IwaxError:
    message = (str(error).splitlines() or [""])[0]
    return IwaxError(f"Expected {what}; got {type(error).__name__}: {message}. Check the name, network and login.")
