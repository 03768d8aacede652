"""Resident memory a queued request costs, beside what lm-eval keeps of it itself.

    python benchmarks/queue_memory.py [--requests 1000 10000 100000]

Each size in two processes of its own: one only makes lm-eval's instances, the other also has them
answered by the scripted model (no audio is decoded, every reply is stored). The difference over the
number of requests is ours.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

CODE = """
import gc, json, resource, sys, tempfile
from pathlib import Path
from lm_eval.api.instance import Instance
from voxemo_tasks.backends.scripted import ScriptedAudioLM
from voxemo_tasks.records import AudioRef, Decoding, Request

n, answer = int(sys.argv[1]), sys.argv[2] == "answer"

class Quick(ScriptedAudioLM):
    def needs_audio(self):
        return False

def now():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

with tempfile.TemporaryDirectory() as folder:
    script = Path(folder) / "s.jsonl"
    script.write_text('{"reply": "The speaker sounds sad."}')
    model = Quick(str(script), store=folder + "/run", batch_size=64)
    text = "What emotion does the speaker's voice express? Choose one of: angry, happy, sad."
    start = now()
    queue = []
    for i in range(n):
        content = [{"type": "audio", "index": 0}, {"type": "text", "text": text}]
        message = {"role": "user", "content": content}
        ref = AudioRef(f"/corpus/clips/{i:07d}.wav", f"{i:064x}", duration_s=3.0)
        request = Request("q@1", "0" * 64, (message,), (ref,), Decoding(32))
        provenance = {"task": "t", "utterance_id": f"u{i:07d}", "prompt": "q@1"}
        queue.append(Instance("generate_until", {}, request.to_arguments(provenance), 0, ("t", i, 1)))
    if answer:
        replies = model.generate_until(queue, True)
        assert len(replies) == n and replies[-1] == "The speaker sounds sad."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([now() - start, peak - start]))
"""


def measured(n: int, mode: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(n), mode], capture_output=True, text=True, check=True
    )
    import json

    return [int(x) for x in json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, nargs="+", default=[1000, 10_000, 100_000])
    args = parser.parse_args()
    for n in args.requests:
        alone, answered = measured(n, "queue"), measured(n, "answer")
        kept, peak = ((b - a) / n / 1024 for a, b in zip(alone, answered, strict=True))
        print(
            f"{n:>7,} requests: lm-eval keeps {alone[0] / n / 1024:.2f} KiB each, we {kept:.2f} KiB "
            f"beside it when done, {peak:.2f} KiB at most"
        )


if __name__ == "__main__":
    main()
