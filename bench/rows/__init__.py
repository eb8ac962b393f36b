"""The rows of the table. A new one is a module with a function Ground -> Group, and a line here."""

from collections.abc import Callable

from bench.ground import Ground
from bench.measure import Group
from bench.rows import far, fresh, nothing, page, paint, plan, review, watchers

Row = Callable[[Ground], Group]

ROWS: dict[str, Row] = {
    "fresh": fresh.measure,
    "far": far.measure,
    "nothing": nothing.measure,
    "plan": plan.measure,
    "review": review.measure,
    "page": page.measure,
    "twenty": page.measure_twenty,
    "paint": paint.measure,
    "watchers": watchers.measure,
}
