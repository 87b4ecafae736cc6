"""What is got ready while a person thinks: the slow imports, and the past read once; light to import.

Nothing that is worked out here is shown before the answer is sealed. Another thread does it: keys are taken meanwhile.
"""

import math
import threading

from palate.errors import PalateError
from palate.question.question import Question
from palate.store.project import Project


class Ahead:
    """Gets ready what follows an answer. Start it when the prompt is on the screen; `wait` before going on.

    Args:
        project: whose past is read.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._seed_sd: float | None = None
        self._thread: threading.Thread | None = None

    def start(self, question: Question) -> None:
        """Begin, once; what goes wrong here goes wrong again, and is told, where it is needed."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._get_ready, args=(question,))
            self._thread.start()

    def wait(self) -> None:
        """Wait until it is done; nothing where it was never begun."""
        if self._thread is not None:
            self._thread.join()

    def seed_sd(self) -> float | None:
        """Return what another seed alone does, by the project's past; None where that is not known."""
        self.wait()
        return self._seed_sd

    def _get_ready(self, question: Question) -> None:
        import palate.cli.terminal.progress
        import palate.loop.run  # noqa: F401  # numpy, rich and the catalog: .4 s of them
        from palate.ledger.ledger import Ledger
        from palate.loop.evidence import evidence_of
        from palate.loop.judge import terms_of
        from palate.loop.reference import case_words, reference_for
        from palate.store.catalog import Catalog

        ledger = Ledger.of(self._project.chain)
        try:
            with Catalog.open(self._project) as catalog:
                evidence_of(catalog, question)
            case_words(ledger, reference_for(ledger, question).nearest)
            noise = terms_of(ledger, question).noise
            self._seed_sd = None if noise is None else math.sqrt(noise.variance / 2)  # of a pair: of two runs
        except (PalateError, OSError):
            return
