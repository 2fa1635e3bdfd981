"""Records as tests need them: their numbers are made up, and stay in the tests."""

import dataclasses

from iwax.experiments.identity import identifier, non_default_fields
from iwax.experiments.records import Record
from iwax.runs.config import RunConfig


def record(config: RunConfig, *, log_p: float = -90.0, scale: str = "short", **fields) -> Record:
    """A record of `config`, resolved as little as the report needs."""
    own = non_default_fields(config)
    whole = dataclasses.asdict(config) | {"gradient": config.gradient or "reparameterized"}
    evaluation = {
        **{"num_images": 100, "num_samples": 5000, "active_units": [20 + config.seed]},
        "values": {"log_p": log_p, "iwae_64": log_p - 1, "minus_kl": -1.0},
        "mc_error": {"log_p": 0.03},
        "data_error": {"log_p": 0.8},
    }
    training = {"epochs": 40, "steps": 24000, "seconds": 600.0, "flop": 1.5e14, "final_bound": log_p - 2}
    return Record(
        **{
            **{"id": identifier(own, {"scale": scale}), "scale": scale, "asked": own, "config": whole},
            **{"training": training | {"curve": [[1, -200.0], [40, log_p - 2]]}, "evaluation": evaluation},
            **{
                "machine": {"cores": 2},
                "versions": {"iwax": "0.1.0"},
                "commit": "abc",
                "command": "",
                "date": "2026-11-22",
            },
            **{
                "checkpoint_sha256": identifier(own, {"of": scale}),
                "along": ([20, {"log_p": log_p - 1}], [40, {"log_p": log_p}]),
            },
        }
        | fields
    )
