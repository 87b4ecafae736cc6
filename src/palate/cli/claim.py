"""`palate claim`."""

from collections.abc import Sequence
from dataclasses import replace

import click

from palate.cli.ask import answer
from palate.cli.common import RunOptions, at_terminal, here, json_option, run_options, say, whoami
from palate.cli.terminal.prompt import same_words
from palate.errors import RefusedError
from palate.loop.trust import command_lines
from palate.question.question import Question


@click.command("claim")
@click.argument("target", default="")
@click.option("--trust", is_flag=True, help="Start also what you did not ask for here: adopted by others, copies.")
@run_options
@json_option
def command(target: str, trust: bool, options: RunOptions, as_json: bool) -> None:
    """Claim all that is adopted (of TARGET, as palate stack names it), by ONE verdict against where it began.

    It spends runs that were held back: --pairs, 10 if not given, at seeds that no question used before. The rule is
    that of any verdict; what was tried on the way is said with it.
    """
    from palate.ledger.stack import claim_words
    from palate.loop.stack import begin_claim, claim_question, vouched_claim
    from palate.store.catalog import Catalog

    project = here()
    with Catalog.open(project) as catalog:
        question, claim = claim_question(
            catalog, target, pairs=options.pairs, author=whoami(options.author, options.agent)
        )
    question = vouched_claim(
        project, claim, question, lambda strange: _confirmed(strange, trust=trust, as_json=as_json)
    )
    if not as_json:
        say(f"Claim      {claim_words(claim)}")
        say(f"           same is {same_words(question)}; {question.budget} pairs at most")
    begin_claim(project, claim)
    options = replace(options, no_forecast=options.said is None, pairs=question.budget)
    answer(project, question, options, as_json=as_json, schema="palate.claim/1", more=("palate stack",))


def _confirmed(strange: Sequence[Question], *, trust: bool, as_json: bool) -> bool:
    if trust:
        return True
    if as_json or not at_terminal():
        raise RefusedError(
            "The claim is not started: a part of it was adopted by others, or at another place.",
            why=[line for question in strange for line in command_lines(question)],
            todo="Read it, then:  palate claim --trust",
        )
    say("This was not asked by you at this place. It would start, as you:")
    for question in strange:
        for line in command_lines(question):
            say(line)
    return click.confirm("Start it?", default=False, err=True)
