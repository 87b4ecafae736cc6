"""Judge an experiment by the runs that are there, seal what is due, and report it."""

from datetime import UTC, datetime

from palate.loop.forecaster import BLIND
from palate.loop.kitchen import Kitchen
from palate.loop.opposed import opposed_words
from palate.loop.question import Question
from palate.loop.report import Report, outlook_of
from palate.loop.resolve import score_of, score_sealed, seal_scores
from palate.loop.session import Cooked, Session
from palate.loop.story import read_story
from palate.loop.stove import SILENT
from palate.loop.terms import seal_verdict
from palate.loop.when import resolve_when
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.shelf import Shelf


def judge_now(project: Project, experiment: str, author: str) -> Report:
    """Judge an experiment by the runs that are there, running none; seal verdict and scores where they are due.

    Args:
        project: where it is kept.
        experiment: its id, or the start of it.
        author: who asks; others' forecasts stay hidden until theirs is sealed.

    Raises:
        NotFoundError: there is no such experiment.
    """
    question = read_story(project.chain, experiment).question
    cooked = look_now(project, question)
    close_question(project, question, cooked)
    return report_of(project, question, cooked, 0.0, author=author)


def look_now(project: Project, question: Question) -> Cooked:
    """Judge the runs that are there, sealing nothing."""
    return Session(project, question, Kitchen(workers=0, threads=1), SILENT).look()


def close_question(project: Project, question: Question, cooked: Cooked) -> None:
    """Seal verdict and scores, each once, where no more runs will be made; score the when-forecasts that are due."""
    chain, now = project.chain, datetime.now(UTC)
    if cooked.done:
        seal_verdict(chain, question, cooked.verdict, _runs_of(cooked), now=now)
        story = read_story(chain, question.experiment)
        seal_scores(chain, story, cooked, now=now)
    if chain.records("when"):
        with Catalog.open(project) as catalog:
            catalog.refresh()
            resolve_when(project, catalog, now=now)


def _runs_of(cooked: Cooked) -> dict[str, list[str]]:
    return {arm: [by_seed[seed].id for seed in sorted(by_seed)] for arm, by_seed in cooked.results.items()}


def report_of(
    project: Project,
    question: Question,
    cooked: Cooked,
    elapsed_s: float,
    *,
    author: str,
    changed: tuple[str, ...] = (),
) -> Report:
    """Report an experiment as one author may see it, with the scores that are sealed and those that would be.

    Args:
        project: where it is kept.
        question: what is asked.
        cooked: what its runs gave.
        elapsed_s: how long that took.
        author: who looks; others' forecasts stay hidden until theirs is sealed.
        changed: files that changed since earlier runs.
    """
    story = read_story(project.chain, question.experiment)
    sealed = {one.hash: score_of(story.scores[one.hash]) for one in story.forecasts if one.hash in story.scores}
    open_ = () if story.void else [one for one in story.visible(author) if one.hash not in sealed]
    early = {one.hash: score_sealed(one, story, cooked) for one in open_}
    with Catalog.open(project) as catalog:
        catalog.refresh()
        opposed = opposed_words(catalog, question, cooked.results, cooked.verdict)
    return Report(
        opposed=tuple(opposed),
        question=question,
        cooked=cooked,
        outlook=outlook_of(cooked),
        story=story,
        author=author,
        scores={**{name: found for name, found in early.items() if found is not None}, **sealed},
        final=frozenset(sealed),
        counted=_counted(project, author),
        elapsed_s=elapsed_s,
        fresh_data=changed,
        data_known=Shelf(project.home).find(question.run_key("baseline")) is not None,
    )


def _counted(project: Project, author: str) -> int:
    """Count the blind gut answers of somebody that calibration can be told from: those with a settled outcome."""
    scores = [record.body for record in project.chain.records("score")]
    return sum(
        one["author"] == author and one["turn"] == "forecast" and one["kind"] == BLIND and one["settled"] is not None
        for one in scores
    )
