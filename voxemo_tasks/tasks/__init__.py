"""The lm-eval side: one task class, and the tree of YAML files that name it.

Importing this package registers the suite's models with lm-eval, so that a task file passed by path
(or ``register.yaml``) makes them known before lm-eval looks for them.
"""

from .register import models, register_models
from .task import VoxEmoTask

register_models()

__all__ = ["VoxEmoTask", "models", "register_models"]
