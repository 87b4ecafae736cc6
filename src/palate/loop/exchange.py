"""Questions and sealed forecasts as files, for colleagues who do not share a folder.

A file holds a question and, of forecasts, either the hash alone (a promise: nobody can read the answer, and nobody can
change it later) or the whole record, whose hash anybody can work out again. A promise that was taken in before the
outcome lets the opened forecast count after it. What comes in is read strictly, checked against what is known here,
and written anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from palate.bounded import parse_json, read_text
from palate.errors import ChainBrokenError, InputError, NotFoundError, OutcomeSeenError, PalateError, RefusedError
from palate.forecast.chances import Reference
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import Author, Evidence, Export, SealedForecast, SealedPromise, Sent, Turn
from palate.ledger.seal import seal_question
from palate.loop.evidence import evidence_of
from palate.loop.incoming import refuse_malformed
from palate.loop.reference import reference_for, reference_seen
from palate.question.question import Question
from palate.store.catalog import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was taken in from a file.

    Attributes:
        experiment: which question.
        question: whether it was new here.
        promised: forecasts of which only the hash came.
        opened: forecasts that came whole.
        known: entries that were here already.
    """

    experiment: str
    question: bool
    promised: int
    opened: int
    known: int


def export_forecasts(experiment: SealedExperiment, author: Author, *, blind: bool) -> Export:
    """Return a question with this author's forecasts, as they are handed on.

    Args:
        experiment: the question, and what is sealed of it.
        author: whose forecasts; others' are theirs to hand on.
        blind: give their hashes alone.
    """
    mine = {one.number for one in experiment.forecasts if one.author.name == author.name and not one.colleague}
    sent = [Sent.of(record) for record in experiment.records if record.number in mine]
    return Export(question=experiment.question, sent=tuple(one.blind() if blind else one for one in sent))


def read_export(path: Path) -> Export:
    """Read a file of sealed forecasts.

    Raises:
        NotFoundError: it is not there.
        InputError: it is not a file of sealed forecasts.
    """
    try:
        text = read_text(path)
    except NotFoundError as error:
        raise NotFoundError(f"{path}: there is no such file.", todo="palate forecast --import FILE") from error
    try:
        document = parse_json(text, "The file")
        refuse_malformed(document)
        export = Export.read(document)
        _refuse_other_ids(export.question, document["question"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, PalateError) as error:
        raise InputError(
            f"{path} is not a file of sealed forecasts.",
            why=f"It is not what palate writes ({type(error).__name__}: {str(error).splitlines()[0]}).",
            todo="Have it written again:  palate forecast EXPERIMENT --export FILE",
        ) from error
    return export


def _refuse_other_ids(question: Question, body: Mapping[str, Any]) -> None:
    """Refuse ids that are not those of what the file holds; its experiment's id is looked at where it is read."""
    if dict(question.plan.recipes) != body["recipes"]:
        raise ValueError("its recipes are others than it says")


def take_in(catalog: Catalog, export: Export, *, now: datetime) -> Imported:
    """Seal what a colleague sealed elsewhere, each entry once; nothing is sealed where one of them is refused.

    The question is written anew from what it asks, with this project's own reference forecast: neither its words nor
    its reference are the colleague's to choose.

    Raises:
        ChainBrokenError: a forecast does not have the hash that it claims.
        InputError: an entry is not a forecast.
        OutcomeSeenError: its outcome is visible here, and it was never promised before.
        RefusedError: somebody of that name has another forecast here.
    """
    chain, question = catalog.project.chain, export.question
    ledger = Ledger.of(chain)
    experiment = ledger.find(question.experiment)
    known = _known(experiment)
    unknown = [sent for sent in export.sent if (sent.hash, sent.record is not None) not in known]
    entries = _checked_all(catalog, unknown, experiment, question)
    if experiment is None:
        seal_question(chain, question, now=now, reference=reference_for(ledger, question), trusted=False)
    for entry in entries:
        kind = SealedPromise.KIND if isinstance(entry, SealedPromise) else entry.turn
        chain.append(kind, entry.body(), now=now)
    promised = sum(isinstance(entry, SealedPromise) for entry in entries)
    return Imported(
        experiment=question.experiment,
        question=experiment is None,
        promised=promised,
        opened=len(entries) - promised,
        known=len(export.sent) - len(unknown),
    )


def _known(experiment: SealedExperiment | None) -> set[tuple[str, bool]]:
    """Return what is here already: hashes, and whether they were opened."""
    if experiment is None:
        return set()
    opened = {(one.hash, whole) for one in experiment.forecasts for whole in (True, False)}
    return opened | {(promised, False) for promised in experiment.promises}


def _checked_all(
    catalog: Catalog, sent: Sequence[Sent], experiment: SealedExperiment | None, question: Question
) -> list[SealedForecast | SealedPromise]:
    """Check all entries before any is sealed; return them as they are sealed here."""
    if not sent:
        return []
    evidence = evidence_of(catalog, question)
    reference = reference_seen(Ledger.of(catalog.project.chain), catalog, question, evidence)
    here = _Here(experiment, question.experiment, evidence, reference)
    entries = [here.check(one) for one in sent]
    claims = [(_name(entry), entry.turn, isinstance(entry, SealedPromise)) for entry in entries]
    if len(set(claims)) < len(claims):
        raise _double(question.experiment, claims[0][0])
    return entries


def _name(entry: SealedForecast | SealedPromise) -> str:
    return entry.author if isinstance(entry, SealedPromise) else entry.author.name


@dataclass(frozen=True, slots=True)
class _Here:
    """What is known here of the question to which entries come in."""

    experiment: SealedExperiment | None
    name: str
    evidence: Evidence
    reference: Reference

    def check(self, sent: Sent) -> SealedForecast | SealedPromise:
        """Check one entry; return it as it is sealed here."""
        promise = self.experiment.promises.get(sent.hash) if self.experiment is not None else None
        judged = self.experiment is not None and self.experiment.judged
        if promise is None and (self.evidence.ended or judged):
            raise OutcomeSeenError(
                f"experiment {self.name}: runs of the treatment have ended ({self.evidence.ended}).",
                why="A forecast that comes in after results are visible cannot be scored, whenever it was made.",
                todo="Hand over promises before the runs:  palate forecast EXPERIMENT --export FILE --blind",
            )
        return self._promised(sent) if sent.record is None else self._opened(sent, promise)

    def _promised(self, sent: Sent) -> SealedPromise:
        author, turn = Author(name=sent.author), _turn(sent.turn)
        self._refuse_second(author.name, turn)
        return SealedPromise(
            experiment=self.name,
            hash=sent.hash,
            author=author.name,
            turn=turn,
            evidence=self.evidence,
            reference=self.reference,
        )

    def _opened(self, sent: Sent, promise: SealedPromise | None) -> SealedForecast:
        """Write the forecast anew from what it says: whoever it is from, and against this project's reference."""
        turn = _turn(sent.turn)
        if not sent.holds or sent.experiment != self.name:
            raise ChainBrokenError(
                f"The forecast {sent.hash[:12]} of {sent.author} was changed after it was sealed.",
                why="Its content does not have the hash that it claims.",
                todo="Have it exported again from the project where it was sealed.",
            )
        forecast = sent.forecast
        if promise is None:
            self._refuse_second(forecast.author.name, turn)
        elif (promise.author, promise.turn) != (forecast.author.name, turn):
            raise RefusedError(
                f"The promise {sent.hash[:12]} was {promise.author}'s {promise.turn}, not this.",
                why="A promise is opened as what it was taken in as.",
                todo="Have it exported again by who promised it.",
            )
        here = promise.evidence if promise is not None else self.evidence
        evidence = forecast.evidence if forecast.evidence.points > here.points else here
        reference = promise.reference if promise is not None else self.reference
        return replace(forecast, evidence=evidence, reference=reference, colleague=True)

    def _refuse_second(self, author: str, turn: Turn) -> None:
        experiment = self.experiment
        if experiment is not None and (experiment.of(author, turn) or author in experiment.promised(turn)):
            raise _double(self.name, author)


def _turn(kind: str) -> Turn:
    if kind == "forecast":
        return "forecast"
    if kind == "revision":
        return "revision"
    raise InputError(f"{kind!r} is not a forecast.", why="Only forecasts and revisions are exchanged.")


def _double(name: str, author: str) -> RefusedError:
    return RefusedError(
        f"{author} has another forecast of {name} here, or has promised one.",
        why="One person, one forecast: two of the same name cannot both count.",
        todo="Forecast under another name: PALATE_AUTHOR=name palate forecast ...",
    )
