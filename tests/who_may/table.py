"""Who may do what, as text that is read line by line when it changes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Answer(NamedTuple):
    """What a caller got: the status, and of a problem its code."""

    status: int
    code: str = ""


_HEAD = """\
Who may do what: every operation, and what every caller gets who tries it on one organization.

A row is an operation, in brackets what it is called about; a column is a caller; a cell is the status, and the row's
end says which problem it stands for. Whoever may change something is let in and then finds it too late, so that no cell
changes another: next to a 404, a 409, 412, 422 or 429 reads as "may".

"""


def text(columns: Sequence[str], rows: Mapping[str, Sequence[Answer]]) -> str:
    """Return the table. Rows are by the name of their arrangement, one block for each service."""
    lines = [_HEAD.rstrip("\n"), ""]
    heads = [column.split() for column in columns]
    height = max(len(words) for words in heads)
    widths = [max(4, *(len(word) for word in words)) for words in heads]
    label = max(len(name) for name in rows)
    for line in range(height):
        words = [([""] * (height - len(head)) + head)[line] for head in heads]
        lines.append(_line("", label, words, widths))
    service = ""
    for name, answers in rows.items():
        if name.split("/")[1] != service:
            service = name.split("/")[1]
            lines.append("")
        cells, told = _cells(answers)
        lines.append(f"{_line(name, label, cells, widths)}   {told}".rstrip())
    return "\n".join(lines) + "\n"


def _line(name: str, label: int, cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{name.ljust(label)}   {'  '.join(padded)}".rstrip()


def _cells(answers: Sequence[Answer]) -> tuple[list[str], str]:
    """Return a row's cells, and what their problems are; a letter tells two problems of one status apart."""
    codes: dict[int, list[str]] = defaultdict(list)
    for answer in answers:
        if answer.code and answer.code not in codes[answer.status]:
            codes[answer.status].append(answer.code)
    marks = {
        Answer(status, code): f"{status}{'abcdefgh'[place] if len(found) > 1 else ''}"
        for status, found in codes.items()
        for place, code in enumerate(found)
    }
    told = ", ".join(f"{marks[answer]} {answer.code}" for answer in sorted(marks))
    return [marks.get(answer, str(answer.status)) for answer in answers], told
