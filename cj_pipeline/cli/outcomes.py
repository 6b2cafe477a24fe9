"""This module reads tables of outcomes for `bt fit`: winner, loser and perhaps a count and a result."""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.bt.comparisons import Comparisons, InvalidComparison
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.tables import Column, TableRow, read_table, warn_of_lookalikes

WINNER = Column("winner", ("winner",))
LOSER = Column("loser", ("loser",))
# `Freq` is what R calls it, in the published tables that people start from.
COUNT = Column("count", ("count", "counts", "freq", "frequency", "weight", "weights"), required=False, exclusive=True)
RESULT = Column("result", ("result", "outcome"), required=False)

WIN = {"win", "won"}
DRAW = {"draw", "drawn", "tie", "tied"}

_DRAW_COLUMNS = dict.fromkeys(
    ("draw", "draws", "drawn", "tie", "ties", "tied"), "Give draws in a column 'result', as win or draw."
)


def read_outcomes(path: Path) -> tuple[tuple[str, ...], Comparisons]:
    """Return item names, sorted, and the comparisons between them by index; a draw is half a win for each.

    Raises BadInput naming file, line and column: what read_table raises, two columns of counts, a count that is not a
    number from 0 on, a result that is neither a win nor a draw, an item compared with itself.
    """
    table = read_table(path, (WINNER, LOSER, COUNT, RESULT), refused=_DRAW_COLUMNS)
    outcomes: list[tuple[str, str, float, TableRow]] = []
    for row in table.rows:
        winner, loser = row.text("winner"), row.text("loser")
        if winner == loser:
            raise BadInput(f"{winner}: compared with itself.", path=path, line=row.line)
        count = row.number("count") if "count" in table.columns else 1.0
        if "result" in table.columns and _is_draw(row):
            outcomes += [(winner, loser, count / 2, row), (loser, winner, count / 2, row)]
        else:
            outcomes.append((winner, loser, count, row))
    items = tuple(sorted({name for winner, loser, _, _ in outcomes for name in (winner, loser)}))
    warn_of_lookalikes(path, items)
    index = {name: position for position, name in enumerate(items)}
    winners, losers, counts, rows = zip(*outcomes, strict=True)
    won, lost = ([index[name] for name in side] for side in (winners, losers))
    try:
        return items, Comparisons(won, lost, len(items), counts)
    except InvalidComparison as error:
        if error.row is None:
            raise BadInput(error.problem, path=path) from None
        raise BadInput(f"{winners[error.row]}: {error.problem}", path=path, line=rows[error.row].line) from None


def _is_draw(row: TableRow) -> bool:
    result = row.text("result").casefold()
    if result not in WIN | DRAW:
        raise row.problem("result", f"'{result}' is neither a win nor a draw.", "Write win (of the winner) or draw.")
    return result in DRAW
