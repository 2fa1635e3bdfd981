"""What pytest does not collect where an optional package is missing, and how often it looks for garbage."""

import gc
from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["src/iwax/torch/*"]
collect_ignore_glob += [] if find_spec("torch") and find_spec("pyro") else ["src/iwax/contrib/*pyro.py", "src/iwax/contrib/_pyro_plates.py"]


def pytest_collection_finish():
    """Leave what was imported to itself, and look for garbage seldom: it took a sixth of the time of all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
