"""The parts of :mod:`voxemo_tasks.registry`.

``files``        a file, a room, a folder of cards → specs, held to their schemas and digests
``corpora``      what a corpus card must hold to beyond its schema
``ontology``     the canonical labels' placement, and notes on cultures
``verbalizers``  the verbalizers of all kinds, with the words that they name
"""
