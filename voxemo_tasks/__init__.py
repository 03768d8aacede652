"""VoxEmo Tasks: evaluation of generative speech emotion recognition.

A speech LLM hears a clip and answers in words; this package asks it, reads the answer, and scores
it. Generation and measurement are separate: replies are stored once, and every number can be
recomputed from them without a GPU. See ``README.md`` and the ``voxemo`` command.

Importing the package costs nothing: no torch, no transformers, no datasets, no network.
"""

__version__ = "0.1.0"
