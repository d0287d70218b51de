"""What lives in the owner thread: the model with its scheduler."""

from __future__ import annotations

from .native import Model
from .options import Options
from .scheduler import Limits, Scheduler
from .state import Facts


class Worker(Scheduler):
    """A scheduler that owns its model; constructing it loads the file, or raises InvalidModelFile."""

    def __init__(self, options: Options) -> None:
        self._model = Model(options, slots=2 * options.n_parallel)
        cells = self._model.cells
        longest = min(cells, self._model.trained)
        parked = min(longest, cells // 4) if options.n_parked is None else options.n_parked
        limits = Limits(cells, longest, options.n_parallel, self._model.batch, parked)
        super().__init__(self._model, limits, options.reasoning_tags)
        self.facts = Facts(
            description=self._model.description,
            chat_template=self._model.chat_template,
            bos=self._model.bos,
            eos=self._model.eos,
            known_tags=all(len(self._model.tokenize(tag, begin=False)) == 1 for tag in options.reasoning_tags),
            cells=cells,
            longest=longest,
        )

    def close(self) -> None:
        """Free the model; nothing may be called after it."""
        self._model.close()
