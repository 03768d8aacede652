"""What the numbers are: pure functions from counts to rates and intervals (numpy and scipy only).

``confusion``  the counts of gold against predicted labels, with a non-answer column
``hard``       every hard-label rate read from them, its bounds, and what guessing would score
``intervals``  how far those rates would move with other speakers

Nothing here opens a file, knows a corpus or a model, or draws a random number without a seed.
"""
