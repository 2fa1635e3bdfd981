"""From records and run folders to tables, figures, and one HTML page. Nothing here trains.

Names are imported when first used, so that the command line's help does not wait for JAX. Without the extra
`report`, importing this room raises MissingExtraError.
"""

import lazy_loader

from iwax.extras import check_installed

for _module in ("jinja2", "matplotlib", "PIL"):
    check_installed(_module, "reports")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
