"""What is judged: which way it is better, as said, as its name or the project tells, or as a person is asked.

Light to import.
"""

from collections.abc import Callable

from palate.ledger.ledger import Ledger
from palate.question.question import metric_of
from palate.question.target import Target
from palate.store.peek import widest
from palate.store.project import Project
from palate.vocabulary import Goal, Metric, goal_of_name, unknown_goal

AskGoal = Callable[[str], Goal]
"""Asks a person which way a metric of this name is better."""

WORDS: dict[Goal, str] = {"max": "higher is better", "min": "lower is better"}


def metric_for(
    project: Project, target: Target, name: str, goal: Goal | None = None, ask: AskGoal | None = None
) -> Metric:
    """Make the metric of this name: with what the target declares of it, and what the project knows of it.

    Args:
        project: where it is judged.
        target: what is run.
        name: as it is logged.
        goal: which way is better, where somebody says it now.
        ask: asks a person; None where there is nobody to ask.

    Raises:
        InputError: nobody says which way is better.
    """
    declared = target.goal if name == target.metric else None
    return metric_of(target, name, goal or declared or goal_for(project, name, ask))


def goal_for(project: Project, name: str, ask: AskGoal | None = None) -> Goal:
    """Return which way a metric is better where nobody says it now; it is never guessed.

    What a person was asked in this project comes first. Then the list of well-known names and the project's last
    question of this metric have to agree, where both tell. Where none tells, or they do not agree, the person is
    asked, and the answer is remembered.

    Raises:
        InputError: nobody tells, or they contradict each other, and there is nobody to ask.
    """
    asked = project.goals.get(name)
    if asked is not None:
        return asked
    by_name, before = goal_of_name(name), Ledger.of(project.chain).remembered_goal(name)
    known = {goal for goal in (by_name, before) if goal is not None}
    if len(known) == 1:
        return known.pop()
    if ask is None:
        told = by_name and before and f"By its name {WORDS[by_name]}, but in this project {WORDS[before]} so far."
        raise unknown_goal(name, told or "")
    answer = ask(name)
    project.remember_goal(name, answer)
    return answer


def known_ends(project: Project, target: Target, metric: Metric) -> tuple[float, ...]:
    """Return the least and the most value that runs of this training ended with here; nothing where none is known."""
    return widest(project.catalog, metric.name, {target.label, *target.label.split(":")})
