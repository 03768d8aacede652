"""``python -m voxemo_tasks.cli``: the ``voxemo`` command where its script is not on the path."""

import sys

from . import main

sys.exit(main())
