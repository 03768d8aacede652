"""Speech LLMs as lm-eval models.

A backend sees requests: messages, audio references, decoding. It never sees a corpus name, a gold
label or a metric.
"""
