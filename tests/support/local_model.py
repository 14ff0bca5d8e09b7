"""Whether the local model can run here: its engine installed, its file fetched."""

from __future__ import annotations

from importlib.util import find_spec

from service.process import models_directory
from service.providers.model_store import DEFAULT_MODEL, LocalModelError, ModelStore
from tests.support.parts import require_part


def require_local_model() -> None:
    """Go on only where the embedded model can answer."""
    require_part(find_spec("xllamacpp"), "xllamacpp is not installed: pip install 'llmbase[local]'")
    try:
        ModelStore(models_directory()).resolve(DEFAULT_MODEL)
    except LocalModelError as error:
        require_part(False, str(error))
