"""The tree of refusals: what happened, why it is refused, what to type next.

PalateError                     exit status 1
|- InputError                   2   an argument, a file or a value that cannot be used
|  |- ForecastTextError             a forecast that says nothing that can be scored
|  |- SettingError                  `-c` names or values that the experiment does not have
|  `- ListError                     lists that cannot be compared
|- NotFoundError                3   no such experiment, run, file or function
|- RefusedError                 4   the protocol forbids it
|  |- OutcomeSeenError              a forecast after its outcome is visible
|  `- ConfoundedError               arms that differ in more than was declared
|- RunsFailedError              5   the training itself did not deliver
|  |- MetricNotLoggedError          finished, but never logged the metric asked for
|  |- SetupFailedError              failed before the first point: a fault to fix, no outcome
|  `- NotArrivedError               an arm was not what the question says
`- StoreError                   1   the folder, the journals, the chain or the catalog
   |- JournalTakenError             two processes write one journal
   |- ChainBrokenError              the sealed chain was changed
   `- CatalogNewerError             written by a newer palate
"""

from collections.abc import Sequence

__all__ = [
    "CatalogNewerError",
    "ChainBrokenError",
    "ConfoundedError",
    "ForecastTextError",
    "InputError",
    "JournalTakenError",
    "ListError",
    "MetricNotLoggedError",
    "NotArrivedError",
    "NotFoundError",
    "OutcomeSeenError",
    "PalateError",
    "RefusedError",
    "RunsFailedError",
    "SettingError",
    "SetupFailedError",
    "StoreError",
]


class PalateError(Exception):
    """Say what happened, why it is refused, and what to type next.

    Args:
        what: what happened, with the values.
        why: the reason, a line each.
        todo: what to type or change next, a line each.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str | Sequence[str] = (), todo: str | Sequence[str] = ()) -> None:
        self.what = what
        self.why = (why,) if isinstance(why, str) else tuple(why)
        self.todo = (todo,) if isinstance(todo, str) else tuple(todo)
        super().__init__(what)

    def __str__(self) -> str:
        return "\n  ".join((self.what, *self.why, *self.todo))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.why, self.todo)


def _rebuild(kind: type[PalateError], what: str, why: tuple[str, ...], todo: tuple[str, ...]) -> PalateError:
    return kind(what, why=why, todo=todo)


class InputError(PalateError):
    """An argument, a file or a value cannot be used."""

    exit_code = 2


class ForecastTextError(InputError):
    """A forecast says nothing that can be scored."""


class SettingError(InputError):
    """A change names a setting, or gives a value, that the experiment does not have."""


class ListError(InputError):
    """Two lists cannot be compared."""


class NotFoundError(PalateError):
    """There is no such experiment, run, file or function."""

    exit_code = 3


class RefusedError(PalateError):
    """The protocol that keeps people from fooling themselves forbids it."""

    exit_code = 4


class OutcomeSeenError(RefusedError):
    """A forecast came after its outcome was visible."""


class ConfoundedError(RefusedError):
    """The arms differ in more than was declared."""


class RunsFailedError(PalateError):
    """The training itself did not deliver."""

    exit_code = 5


class MetricNotLoggedError(RunsFailedError):
    """Runs finished without ever logging the metric that was asked for."""


class SetupFailedError(RunsFailedError):
    """Runs failed before their first point: a fault to fix, not an outcome."""


class NotArrivedError(RunsFailedError):
    """An arm was not what the question says: a change or a seed did not reach it, or runs saw each other."""


class StoreError(PalateError):
    """The project's folder, its journals, chain or catalog cannot be used."""


class JournalTakenError(StoreError):
    """Two processes write one journal."""


class ChainBrokenError(StoreError):
    """The sealed chain was changed after it was written."""


class CatalogNewerError(StoreError):
    """The catalog was written by a newer palate."""
