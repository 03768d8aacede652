"""How many replies a second a verbalizer reads, beside plain lower-casing of the same texts.

    python benchmarks/verbalize.py [--distinct 60000] [--repeated 600000]

Replies of about 60 characters, made from parts so that each is distinct; then the same number of
times few of them, as models really answer. One core.
"""

from __future__ import annotations

import argparse
import itertools
import time

from voxemo_tasks import registry
from voxemo_tasks.verbalize import compiled

MENU = ("neutral", "joy", "disgust", "sadness", "surprise", "anger", "fear")
WHO = ("The speaker", "This person", "The voice", "She", "He", "The woman", "The man", "The clip")
HOW = ("sounds", "seems", "is clearly", "appears to be", "might be", "comes across as")
WHAT = ("angry", "sad", "happy", "neutral", "not angry but sad", "afraid", "calm", "surprised")
WHY = (
    "because of the pitch of the voice",
    "given the pace of the words",
    "with a low and soft voice",
    "in a loud and harsh tone of voice",
    "in this recording overall",
)


def distinct(n: int) -> list[str]:
    cells = list(itertools.product(WHO, HOW, WHAT, WHY))
    out = []
    for i in range(n):
        a, b, c, d = cells[i % len(cells)]
        out.append(f"{a} {b} {c} {d} {i // len(cells)}.")
    return out


def rate(read: object, texts: list[str]) -> float:
    started = time.perf_counter()
    for text in texts:
        read(text)  # type: ignore[operator]
    return len(texts) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--distinct", type=int, default=60_000)
    parser.add_argument("--repeated", type=int, default=600_000)
    args = parser.parse_args()
    texts = distinct(args.distinct)
    few = [texts[i % 2000] for i in range(args.repeated)]
    print(f"mean length {sum(map(len, texts)) / len(texts):.0f} characters")
    plain = rate(str.lower, texts)
    for ref in ("closed_set@1", "closed_set@2", "lexicon@1", "first_substring@1"):
        started = time.perf_counter()
        read = compiled(registry.verbalizer(ref)[0], MENU)
        read("warm up")
        ready = time.perf_counter() - started
        cold = rate(read, texts)
        warm = rate(read, few)
        print(
            f"{ref}: ready in {ready:.2f} s, {cold:,.0f} distinct replies/s, {warm:,.0f} repeated "
            f"(x {warm / cold:.1f}); lower-casing alone is x {plain / cold:.0f}"
        )


if __name__ == "__main__":
    main()
