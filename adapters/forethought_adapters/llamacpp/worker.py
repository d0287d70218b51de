"""What lives in the owner thread: the model with its scheduler."""

from __future__ import annotations

import jinja2

from forethought.errors import InvalidModelFile

from .control import ControlVector, read
from .families import recognise
from .guard import Marks
from .native import Model
from .options import Options
from .scheduler import Limits, Scheduler
from .state import Facts
from .template import ChatTemplate


class Worker(Scheduler):
    """A scheduler that owns its model; constructing it loads the file, or raises InvalidModelFile."""

    def __init__(self, options: Options) -> None:
        vector = read(options.steering_vector) if options.steering_vector and options.steering_scale else None
        self._model = Model(options, slots=2 * options.n_parallel)
        try:
            if vector is not None:
                _steer(self._model, vector, options.steering_scale)
            template = template_of(self._model, options)
        except InvalidModelFile:
            self._model.close()
            raise
        cells = self._model.cells
        longest = min(cells, self._model.trained)
        parked = min(longest, cells // 4) if options.n_parked is None else options.n_parked
        limits = Limits(cells, longest, options.n_parallel, self._model.batch, parked)
        super().__init__(self._model, limits, template.tags)
        self.facts = Facts(self._model.description, template, cells, longest)

    def close(self) -> None:
        """Free the model; nothing may be called after it."""
        self.forget_all()
        self._model.close()


def _steer(model: Model, vector: ControlVector, scale: float) -> None:
    rows = vector.rows(architecture=model.architecture, layers=model.layers, width=model.width, scale=scale)
    model.steer(rows)


def template_of(model: Model, options: Options) -> ChatTemplate:
    """The chat template of `model`, or that of `options`; raises InvalidModelFile where there is none that compiles."""
    path = str(options.path)
    source = options.chat_template or model.chat_template
    if not source:
        raise InvalidModelFile(path, "it carries no chat template; give one as chat_template=")
    tags = options.reasoning_tags or recognise(source, model.knows)
    marks = Marks([*model.marks(source), *tags])
    known = model.knows(tags.open) and model.knows(tags.close)
    try:
        return ChatTemplate(source, bos=model.bos, eos=model.eos, tags=tags, known_tags=known, marks=marks)
    except jinja2.TemplateError as error:
        raise InvalidModelFile(path, f"its chat template does not compile: {error}") from error
