"""Tables of records: each number with its errors, beside what was published, as Markdown, LaTeX and CSV."""

import csv
import dataclasses
import io
import re
from collections.abc import Iterable

__all__ = ["Datum", "Sheet", "as_csv", "as_latex", "as_markdown"]

RAISED, PLAIN = "⁰¹²³⁴⁵⁶⁷⁸⁹ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐ", "0123456789abcdefghijklm"  # exponents and notes
TAG, ENTITY = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"&(?=#?[A-Za-z0-9]+;)")
NUMBER = re.compile(r"[−+]?[\d,.]+(·10\S+)?( ± [\d.]+)?")


@dataclasses.dataclass(frozen=True, slots=True)  # a table of ten thousand runs has many
class Datum:
    """An entry of a table: its text, what it sorts by, small lines below; if "open", of a "smoke" test, or "best".

    `gains` are, for the page alone, by how much it is better than each published number: verdict, amount, its mark.
    """

    text: str
    key: float | int | str = ""
    below: tuple[str, ...] = ()
    kind: str = ""
    gains: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table as it is shown. The first `labels` columns hold words, the others numbers; notes stand below."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Datum, ...], ...]
    notes: tuple[str, ...] = ()
    labels: int = 1


def as_markdown(sheet: Sheet) -> str:
    """The table with its notes, in Markdown.

    >>> print(as_markdown(Sheet("t", "T", ("a", "b"), ((Datum("x|y"), Datum("1", 1, ("0.9",))),), ("A note.",))))
    | a | b |
    |:--|--:|
    | x\\|y | 1<br><small>0.9</small> |
    <BLANKLINE>
    A note.
    <BLANKLINE>
    """
    rule = "".join("|:--" if i < sheet.labels else "|--:" for i in range(len(sheet.columns))) + "|"
    lines = [_line(map(_plain, sheet.columns)), rule]
    lines += [_line(map(_cell, row)) for row in sheet.rows]
    notes = [f"\n{_prose(note)}" for note in sheet.notes]
    return "\n".join([*lines, *notes]) + "\n"


def as_latex(sheet: Sheet) -> str:
    """The table for LaTeX with the booktabs package, notes in the caption."""
    alignment = "l" * sheet.labels + "r" * (len(sheet.columns) - sheet.labels)
    body = [" & ".join(map(_tex_cell, row)) + r" \\" for row in sheet.rows]
    caption = _tex(" ".join([sheet.title.rstrip(".") + ".", *sheet.notes]))
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            " & ".join(map(_tex, sheet.columns)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def as_csv(sheet: Sheet) -> str:
    """The table with numbers at full precision; what says more than a number ("57 + 9", "3 of 4") as it is."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(sheet.columns)
    for row in sheet.rows:
        writer.writerow([d.key if isinstance(d.key, float | int) and NUMBER.fullmatch(d.text) else d.text for d in row])
    return out.getvalue()


def _line(texts: Iterable[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _cell(datum: Datum) -> str:
    text = f"**{_plain(datum.text)}**" if datum.kind == "best" else _plain(datum.text)
    return "".join([text, *(f"<br><small>{_plain(line)}</small>" for line in datum.below)])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in a cell: no tag nor entity of HTML, no link, no further cell."""
    return _prose(" ".join(text.split())).replace("|", "\\|")


def _prose(text: str) -> str:
    """The same below a table. What no reader takes for a tag, as in `a < b`, stays."""
    return TAG.sub("&lt;", ENTITY.sub("&amp;", text)).replace("](", "]\\(")


def _in_one_line(datum: Datum) -> str:
    return datum.text + (f" ({'; '.join(datum.below)})" if datum.below else "")


def _tex_cell(datum: Datum) -> str:
    if datum.kind != "best":
        return _tex(_in_one_line(datum))
    return rf"\textbf{{{_tex(datum.text)}}}" + _tex(_in_one_line(dataclasses.replace(datum, text="")))


_TEX = str.maketrans(
    {
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": "$|$", "$": r"\$"},
        **{letter: rf"\{letter}" for letter in "&%#_{}"},
        **{"−": "$-$", "±": r"$\pm$", "·": r"$\cdot$", "×": r"$\times$", "‖": r"$\Vert$", "—": "---", "≥": r"$\ge$"},
        **{"α": r"$\alpha$", "β": r"$\beta$", "⁻": r"\textsuperscript{$-$}"},
        **{raised: rf"\textsuperscript{{{plain}}}" for raised, plain in zip(RAISED, PLAIN, strict=True)},
    }
)


def _tex(text: str) -> str:
    return text.translate(_TEX)
