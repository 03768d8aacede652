"""Parts of :mod:`voxemo_tasks.adjudicate`: fencing, reading, panels, attacks."""
