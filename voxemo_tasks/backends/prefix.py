"""An ensemble at the cost of one encoding: a clip is encoded once and its key-value prefix kept.

P prompts of one clip, K samples each, differ only in what comes after the audio. So the audio is
encoded once and run through the decoder once (the *prefix*); each prompt's own text is run once on
top of it (the *suffix*); and only the K replies are decoded K times. Plainly asked, the same P × K
replies cost P × K encodings.

Rows of different length are padded on the left of the prefix and on the left of the suffix; the
mask hides both, and positions are counted without them. The prefix ends right after the last audio
marker, where every tokenizer splits: a suffix is then tokenized as it would be within its prompt,
which is checked for each clip. Models whose code forbids any of this are found by a comparison with
the plain path on the first batch (:meth:`PrefixSharer.difference`), not by a list of names.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..records import Decoding, Json
from .sampling import SeededGumbel, warpers_of


class CannotShareError(Exception):
    """A group of prompts, or a model, whose prefix cannot be shared; the plain path answers."""


@dataclass(slots=True)
class Work:
    """What the engine was made to do, in rows times tokens, beside the least that was needed.

    Attributes:
        encoded: Clips that went through the audio encoder.
        prefix: Positions run for prefixes, padding included.
        prefix_needed: The same without padding.
        suffix: Positions run for prompts, padding included.
        suffix_needed: The same without padding.
        decoded: Decoder steps times rows in the batch.
        decoded_needed: Tokens that ended in a reply (its end token included).
    """

    encoded: int = 0
    prefix: int = 0
    prefix_needed: int = 0
    suffix: int = 0
    suffix_needed: int = 0
    decoded: int = 0
    decoded_needed: int = 0

    @property
    def over_floor(self) -> float | None:
        """Decoder positions run over the fewest possible; ``None`` before anything ran."""
        needed = self.prefix_needed + self.suffix_needed + self.decoded_needed
        return (self.prefix + self.suffix + self.decoded) / needed if needed else None

    def to_json(self) -> Json:
        ratio = self.over_floor
        return {**asdict(self), "over_floor": None if ratio is None else round(ratio, 4)}


@dataclass(slots=True)
class Group:
    """The prompts of one clip (or of one list of clips).

    Attributes:
        texts: Rendered prompts, each with the same audio markers.
        inputs: What the processor made of the first prompt and the audio, one row, no padding.
        prefix: Token ids up to and with the last audio marker.
        suffixes: Token ids of the rest of each prompt.
    """

    texts: list[str]
    inputs: Json
    prefix: list[int] = field(default_factory=list)
    suffixes: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One reply to make.

    Attributes:
        group: Index of its group.
        prompt: Index of its prompt within the group.
        seed: Seed of its samples; unused where decoding is greedy.
        decoding: How it is decoded.
    """

    group: int
    prompt: int
    seed: int
    decoding: Decoding


class PrefixSharer:
    """Answers groups of prompts with one model of transformers.

    Args:
        model: A causal model with an audio encoder, in evaluation mode.
        tokenizer: Its tokenizer.
        audio_id: The token that stands for audio, as often as the clip has embeddings.
        end_ids: Tokens that end a reply.
        pad_id: Any token, for masked places.
        device: Where the model is.
        dtype: Of its floating-point inputs.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        audio_id: int,
        end_ids: Sequence[int],
        pad_id: int,
        device: Any,
        dtype: Any,
    ) -> None:
        import torch

        self._torch = torch
        self._model = model
        self._tokenizer = tokenizer
        self._audio_id = audio_id
        self._end_ids = frozenset(end_ids)
        self._pad_id = pad_id
        self._device = device
        self._dtype = dtype
        takes = inspect.signature(model.forward).parameters
        self._keep_one = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self.work = Work()

    # --- preparing --------------------------------------------------------------------------

    def cut(self, group: Group) -> None:
        """Find where the prefix of a group ends, and tokenize what follows it in each prompt.

        Raises:
            CannotShareError: Where a prompt has text of its own before the last audio marker, or
                its tokens differ when it is cut there.
        """
        ids: list[int] = group.inputs["input_ids"][0].tolist()
        if self._audio_id not in ids:
            raise CannotShareError("there is no audio token in the prompt")
        end = len(ids) - ids[::-1].index(self._audio_id)
        special = set(self._tokenizer.all_special_ids)
        if end < len(ids) and ids[end] in special and ids[end] not in self._end_ids:
            end += 1  # <|audio_eos|> and the like
        marker = self._tokenizer.convert_ids_to_tokens(ids[end - 1])
        heads, tails = [], []
        for text in group.texts:
            head, found, tail = text.rpartition(marker)
            if not found:
                raise CannotShareError(f"the audio marker {marker!r} is not in the prompt's text")
            heads.append(head)
            tails.append(tail)
        if len(set(heads)) > 1:
            raise CannotShareError("the prompts differ before the audio")
        group.prefix = ids[:end]
        group.suffixes = [
            list(self._tokenizer(tail, add_special_tokens=False)["input_ids"]) for tail in tails
        ]
        if group.suffixes[0] != ids[end:]:
            raise CannotShareError("the tokenizer does not split at the audio marker")
        if not all(group.suffixes):
            raise CannotShareError("a prompt ends with the audio")

    # --- running ----------------------------------------------------------------------------

    def prefix(self, groups: Sequence[Group]) -> State:
        """Encode the clips of some groups and run their prefixes: one row a group."""
        torch = self._torch
        longest = max(len(group.prefix) for group in groups)
        ids = torch.full((len(groups), longest), self._pad_id, dtype=torch.long)
        mask = torch.zeros((len(groups), longest), dtype=torch.long)
        for row, group in enumerate(groups):
            ids[row, longest - len(group.prefix) :] = torch.tensor(group.prefix)
            mask[row, longest - len(group.prefix) :] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, **self._features(groups)}
        state = State(None, mask.to(self._device), mask.sum(dim=1).to(self._device))
        self._forward(inputs, state, positions=_positions(mask))
        self.work.encoded += len(groups)
        self.work.prefix += ids.numel()
        self.work.prefix_needed += int(mask.sum())
        return state

    def _features(self, groups: Sequence[Group]) -> Json:
        """The processor's other outputs, stacked; anything of a token's length is not known here."""
        torch = self._torch
        known = {"input_ids", "attention_mask"}
        out: Json = {}
        for key in groups[0].inputs:
            if key in known:
                continue
            values = [group.inputs[key] for group in groups]
            width = groups[0].inputs["input_ids"].shape[1]
            first = values[0]
            if not torch.is_tensor(first):
                raise CannotShareError(f"the processor's {key} is no tensor")
            if first.dim() == 2 and first.shape == (1, width):
                raise CannotShareError(f"the processor's {key} goes token by token")
            if len({v.shape[1:] for v in values}) > 1:
                values = _padded(values, torch)
            out[key] = torch.cat(values, dim=0)
        return out

    def suffix(self, prefix: State, rows: Sequence[tuple[int, list[int]]]) -> State:
        """Run texts on top of prefixes.

        Args:
            prefix: Of the groups.
            rows: (row of the prefix, token ids) of each text.

        Returns:
            A row a text, with the logits of the token that comes next.
        """
        torch = self._torch
        state = prefix.take([group for group, _ in rows], torch)
        longest = max(len(ids) for _, ids in rows)
        tokens = torch.full((len(rows), longest), self._pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for row, (_, ids) in enumerate(rows):
            tokens[row, longest - len(ids) :] = torch.tensor(ids)
            mask[row, longest - len(ids) :] = 1
        state = self._extend(state, tokens, mask)
        self.work.suffix += tokens.numel()
        self.work.suffix_needed += int(mask.sum())
        return state

    def _extend(self, state: State, tokens: Any, mask: Any, *, every: bool = False) -> State:
        mask = mask.to(self._device)
        positions = state.lengths[:, None] + _positions(mask)
        state.mask = self._torch.cat([state.mask, mask], dim=1)
        state.lengths = state.lengths + mask.sum(dim=1)
        inputs = {"input_ids": tokens, "attention_mask": state.mask}
        self._forward(inputs, state, positions=positions, every=every)
        return state

    def _forward(self, inputs: Json, state: State, *, positions: Any, every: bool = False) -> None:
        inputs = {key: value.to(self._device) for key, value in inputs.items()}
        for key, value in inputs.items():
            if self._torch.is_floating_point(value):
                inputs[key] = value.to(self._dtype)
        keep = {} if every else self._keep_one
        inputs |= {"position_ids": positions.to(self._device), "use_cache": True, **keep}
        if state.cache is not None:
            inputs["past_key_values"] = state.cache
        base = getattr(self._model, "model", None)
        head = getattr(self._model, "lm_head", None)
        if every or self._keep_one or base is None or head is None:
            output = self._model(**inputs)
            logits = output.logits if every else output.logits[:, -1]
        else:  # the head over every audio position would cost more than the rest of the prefix
            output = base(**inputs)
            logits = head(output.last_hidden_state[:, -1])
        state.cache, state.logits = output.past_key_values, logits.float()

    def decode(
        self,
        state: State,
        rows: Sequence[tuple[int, Row]],
        stopped: Callable[[list[int], Row], bool],
    ) -> list[list[int]]:
        """Decode replies on top of prompts; all rows have the same decoding.

        Args:
            state: Of the prompts, with next-token logits.
            rows: (row of the state, what to make) of each reply.
            stopped: Whether the tokens so far hold a stop string.

        Returns:
            Token ids of each reply, its end token included.
        """
        torch = self._torch
        decoding = rows[0][1].decoding
        state = state.take([at for at, _ in rows], torch)
        warp = None if decoding.greedy else warpers_of(decoding)
        noise = None if decoding.greedy else SeededGumbel([row.seed for _, row in rows])
        replies: list[list[int]] = [[] for _ in rows]
        alive = list(range(len(rows)))
        done: set[int] = set()
        for step in range(decoding.max_new_tokens):
            scores = state.logits
            if warp is not None and noise is not None:
                scores = noise(None, warp(None, scores))
            chosen = scores.argmax(dim=-1).tolist()
            for place, row in enumerate(alive):
                if row in done:
                    continue
                replies[row].append(chosen[place])
                self.work.decoded_needed += 1
                if chosen[place] in self._end_ids or stopped(replies[row], rows[row][1]):
                    done.add(row)
            if len(done) == len(rows) or step + 1 == decoding.max_new_tokens:
                self.work.decoded += len(alive)
                break
            self.work.decoded += len(alive)
            dead = sum(row in done for row in alive)
            tokens = torch.tensor([[token] for token in chosen])
            if dead * 8 >= len(alive):  # leave finished replies behind
                kept = [place for place, row in enumerate(alive) if row not in done]
                state = state.take(kept, torch)
                tokens = tokens[kept]
                alive = [alive[place] for place in kept]
                if noise is not None:
                    noise.keep(kept)
            state = self._extend(state, tokens, torch.ones_like(tokens))
        return replies

    def continuations(
        self, state: State, rows: Sequence[tuple[int, list[int]]]
    ) -> list[list[float]]:
        """Log-probability of each token of some continuations of prompts, then of any end token.

        Args:
            state: Of the prompts, with next-token logits.
            rows: (row of the state, token ids) of each continuation; one token at least.
        """
        torch = self._torch
        branch = state.take([at for at, _ in rows], torch)
        first = branch.logits.log_softmax(dim=-1)
        out = [[float(first[i, ids[0]])] for i, (_, ids) in enumerate(rows)]
        longest = max(len(ids) for _, ids in rows)
        tokens = torch.full((len(rows), longest), self._pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, (_, ids) in enumerate(rows):
            tokens[i, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            mask[i, : len(ids)] = 1
        self._extend(branch, tokens, mask, every=True)
        every = branch.logits.log_softmax(dim=-1)
        ends = every[:, :, sorted(self._end_ids)].logsumexp(dim=-1)
        for i, (_, ids) in enumerate(rows):
            out[i] += [float(every[i, at, token]) for at, token in enumerate(ids[1:])]
            out[i].append(float(ends[i, len(ids) - 1]))
        self.work.decoded += len(rows) * longest
        self.work.decoded_needed += sum(len(ids) for _, ids in rows)
        return out

    def difference(self, state: State, rows: Sequence[int], plain: Any) -> float:
        """Largest difference of next-token logits from those of the plain path, over their scale.

        Args:
            state: Of some prompts.
            rows: Those of its rows that are compared.
            plain: Logits ``(len(rows), vocabulary)`` of the same prompts asked plainly.
        """
        scale = float(plain.abs().max()) or 1.0
        return float((state.logits[list(rows)] - plain.float()).abs().max()) / scale


@dataclass(slots=True)
class State:
    """Rows of a batch: their key-value cache, mask, lengths and next-token logits."""

    cache: Any
    mask: Any
    lengths: Any
    logits: Any = None

    def take(self, rows: Sequence[int], torch: Any) -> State:
        """Some rows, in this order, repeated where asked; the original stays as it is."""
        index = torch.tensor(list(rows), device=self.mask.device)
        cache = copy.copy(self.cache)
        layers = getattr(cache, "layers", None)
        if layers is None or not hasattr(cache, "batch_select_indices"):
            raise CannotShareError(f"a {type(cache).__name__} cannot be split into rows")
        cache.layers = [copy.copy(layer) for layer in layers]
        cache.batch_select_indices(index)
        logits = None if self.logits is None else self.logits[index]
        return State(cache, self.mask[index], self.lengths[index], logits)


def _positions(mask: Any) -> Any:
    """0, 1, 2, … over the places that are not masked."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _padded(values: list[Any], torch: Any) -> list[Any]:
    """Tensors padded with zeros at the end to one shape but for their first axis."""
    sizes = [max(v.shape[axis] for v in values) for axis in range(1, values[0].dim())]
    out = []
    for value in values:
        whole = value.new_zeros((value.shape[0], *sizes))
        whole[tuple(slice(0, n) for n in value.shape)] = value
        out.append(whole)
    return out


def chunks(sizes: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Indices in runs whose sizes add up to ``limit`` at most; one that is larger stands alone.

    Example:
        >>> list(chunks([2, 2, 5, 1], 4))
        [[0, 1], [2], [3]]
    """
    run: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if run and total + size > limit:
            yield run
            run, total = [], 0
        run.append(index)
        total += size
    if run:
        yield run
