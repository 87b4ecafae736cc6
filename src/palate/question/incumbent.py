"""The incumbent: what was adopted so far, which both arms of the next question have; light to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from palate.recipe.codec import decode, encode
from palate.recipe.settings import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """What both arms of a question have different from what stands in the person's files.

    Attributes:
        changes: settings, each from the value in the files to the one that was adopted.
        of: by the path of a setting, the experiment whose change was adopted.
        code: the experiment whose edit of the code was adopted, where both arms run that; "" elsewhere.
        onto: the experiments that were adopted by then, oldest first, in the person's files or not.
    """

    changes: tuple[Change, ...] = ()
    of: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    onto: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What it is, as it stands behind the name of what is trained: `with lr=3e-3, adopted 1a2b3c4d`."""
        named: dict[str, list[str]] = {}
        for change in self.changes:
            _, _, after = str(change).rpartition(" -> ")
            named.setdefault(self.of.get(change.path, ""), []).append(f"{change.path}={after}")
        parts = [f"{', '.join(settings)}, adopted {experiment}" for experiment, settings in named.items()]
        parts += [f"the code that was adopted {self.code}"] if self.code else []
        return f"with {'; '.join(parts)}" if parts else ""

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        changes = [{"path": c.path, "before": encode(c.before), "after": encode(c.after)} for c in self.changes]
        code = {"code": self.code} if self.code else {}
        return {"changes": changes, "of": dict(self.of), **code, "onto": list(self.onto)}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`."""
        changes = tuple(
            Change(path=c["path"], before=decode(c["before"]), after=decode(c["after"])) for c in body["changes"]
        )
        return cls(changes=changes, of=dict(body["of"]), code=body.get("code", ""), onto=tuple(body["onto"]))
