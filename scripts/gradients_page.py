"""Write docs/gradients.md, the table of objectives and what each gradient estimates, from the code.

python scripts/gradients_page.py            # writes the page
python scripts/gradients_page.py --print    # prints it instead
"""

import pathlib
import sys

from iwax.objectives import describe

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "gradients.md"
HEAD = """# Objectives and what their gradients estimate

For every objective and every gradient that it takes: what the gradient estimates, and whether it is unbiased.
theta are the generative parameters, phi the inference ones. What is said of bias holds at the default arguments; with
one sample all are the ELBO, and sticking the landing is unbiased for it. (Made from the code by `make pages`.)

"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for row in describe():
        options = ", ".join(f"{name}={default}" for name, default in row.options.items())
        parts.append(f"## {row.name}: `{row.class_name}`\n\n{row.bound}\n\n| gradient | estimates |\n|---|---|\n")
        parts += [f"| {gradient} | {target.replace('|', '&#124;')} |\n" for gradient, target in row.targets.items()]
        parts.append(f"\nOptions: `{options}`.\n\nReference: {row.reference}\n\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())
