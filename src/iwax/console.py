"""What the terminal shows: notices and a live bar on the standard error, tables of results on the standard output."""

import math
from collections.abc import Callable
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

__all__ = ["ProgressBar", "duration", "notices", "number", "print_table", "say_source"]

MANY = 500  # rows, above which a table is not fitted to the terminal, which takes milliseconds a row
WORDS = 8  # letters, below which no column of words is broken
notices = Console(stderr=True, highlight=False)


class ProgressBar:
    """A live bar with rate and time left, as a context; what it gives takes objects with step, total_steps and note."""

    def __init__(self, task: str = "training") -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, table_column=Column(max_width=20)),  # as much as the note leaves of the width
            TextColumn("{task.percentage:>3.0f}%  {task.fields[note]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=notices,
        )
        self.task = self.bar.add_task(task, total=None, note="compiling")

    def __enter__(self) -> Callable[[Any], None]:
        self.bar.start()
        return self.update

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        """An error leaves no bar behind, since its line is all that is printed."""
        if kind is None:
            self.bar.stop()
            return
        self.bar.live.transient = True
        self.bar.live.update(Text(), refresh=False)
        self.bar.live.stop()

    def update(self, progress: Any) -> None:
        self.bar.update(self.task, total=progress.total_steps, completed=progress.step, note=progress.note)


def say_source(dataset: Any) -> None:
    """What a data set is and where it came from, what was tried before, and its notice if it has one."""
    for source in dataset.tried:
        notices.print(f"  {source}", style="dim", markup=False)
    notices.print(f"{dataset}".replace("\n", ", "), markup=False)
    if dataset.notice:
        notices.print(dataset.notice, style="bold yellow", markup=False)


def number(value: float | None, digits: str = ".3f") -> str:
    """A number as a table shows it; None, which is what JSON has in place of NaN and infinity, in words."""
    return "not finite" if value is None or not math.isfinite(value) else format(value, digits)


def duration(seconds: float | None) -> str:
    """Seconds as a table shows them.

    >>> duration(42), duration(780), duration(30251), duration(None)
    ('42 s', '13 min', '8.4 h', '')
    """
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def print_table(title: str, columns: list[str], rows: list[list[str]], texts: int = 1) -> None:
    """A table on the standard output, as wide as its content even where that is no terminal.

    The first `texts` columns are words, which a narrow terminal breaks before it breaks a number. A table that does not
    fit even so is turned: what was a line is a column, as many of them beside each other as there is room for.
    """
    if len(rows) > MANY:
        _print_long(title, columns, rows, texts)
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    if _least(columns, rows, texts) <= console.width:
        console.print(_table(title, columns, rows, texts))
        return
    for i, piece in enumerate(_beside(columns, rows, console.width)):
        turned = [list(line) for line in zip(columns[1:], *(row[1:] for row in piece), strict=True)]
        console.print(_table("" if i else title, [columns[0], *(row[0] for row in piece)], turned, 1, fold=True))


def _table(title: str, columns: list[str], rows: list[list[str]], texts: int, *, fold: bool = False) -> Table:
    """A table; with `fold` its numbers, too, are broken where there is no room, rather than cut."""
    padding = (0, 1, 0, 0) if texts > 1 else (0, 1)
    table = Table(title=Text(title) if title else None, title_justify="left", box=SIMPLE_HEAD, padding=padding)
    for i, column in enumerate(columns):
        justify: Literal["left", "right"] = "left" if i < texts else "right"
        table.add_column(Text(column), justify=justify, overflow="fold", no_wrap=i >= texts and not fold)
    for row in rows:
        table.add_row(*map(Text, row))  # names of files may have brackets in them, which mark nothing up
    return table


def _least(columns: list[str], rows: list[list[str]], texts: int) -> int:
    """The width of a table whose words are broken at `WORDS`."""
    short = [[cell[:WORDS] if i < texts else cell for i, cell in enumerate(row)] for row in [columns, *rows]]
    widths = [max(map(cell_len, cells)) for cells in zip(*short, strict=True)]
    return sum(widths) + len(widths) * (1 if texts > 1 else 2) + 2


def _beside(columns: list[str], rows: list[list[str]], width: int) -> list[list[list[str]]]:
    """The lines of a table in groups that fit beside each other, as columns; at least one in each."""
    pieces, used = list[list[list[str]]](), 0
    for row in rows:
        wide = max(map(cell_len, row)) + 2
        if not pieces or used + wide > width:
            pieces, used = [*pieces, []], max(map(cell_len, columns)) + 4
        pieces[-1].append(row)
        used += wide
    return pieces


def _print_long(title: str, columns: list[str], rows: list[list[str]], texts: int) -> None:
    """A long table, each column as wide as its content."""
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        pads = (" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
        pairs = enumerate(zip(cells, pads, strict=True))
        return " " + "  ".join(cell + pad if i < texts else pad + cell for i, (cell, pad) in pairs).rstrip()

    rule = " " + "─" * (sum(widths) + 2 * len(widths) - 2)
    print("\n".join([title, "", line(columns), rule, *map(line, rows), ""]))
