"""The parts of :mod:`voxemo_tasks.verbalize`, in the order in which a reply passes them.

``folding`` (one spelling, offsets kept) → ``regions`` (where the answer stands) → ``lexicon`` (which
words it holds) → ``reading`` (what each word asserts) → ``deciding`` (one verdict).
"""
