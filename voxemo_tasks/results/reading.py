"""How the stored replies of a task are read: the verbalizer, and the menu that each question offered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DataRoomError
from ..records import Json, Verdict
from ..registry import verbalizer as registered
from ..render import Menu, menu_from
from ..specs import AnyVerbalizer, VerbalizerSpec
from ..tally import read_reply
from .counting import SPEAKER


@dataclass(slots=True)
class Reading:
    """How the replies of a task are read: everything from the header of its documents.

    Attributes:
        labels: The label set; empty where ratings were asked for.
        spec: The verbalizer.
        members: Question id → how it offered the labels; empty for runs before there were any.
        seed: Of orders that differ by utterance.
        dimensions: Those that were asked about.
        scale: Their scale.
        cluster: What the corpus's card says that intervals redraw.
    """

    labels: tuple[str, ...]
    spec: AnyVerbalizer
    members: dict[str, Json]
    seed: int
    dimensions: tuple[str, ...]
    scale: tuple[float, float] | None
    cluster: str = SPEAKER
    _menus: dict[tuple[Any, ...], Menu] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, header: Json, labels: Sequence[str], spec: AnyVerbalizer) -> Reading:
        scale = header.get("scale")
        return cls(
            labels=tuple(labels),
            spec=spec,
            members={member["id"]: member for member in header.get("members", ())},
            seed=int(header["options"].get("order_seed", 0)),
            dimensions=tuple(header.get("dimensions", ())),
            scale=None if scale is None else (float(scale[0]), float(scale[1])),
            cluster=header["corpus"].get("cluster", SPEAKER),
        )

    def menu(self, prompt: str, utterance_id: str) -> Menu | None:
        """The menu that a question offered to an utterance; equal ones are one object."""
        if not self.labels:
            return None
        member = self.members.get(prompt)
        fixed = member is None or member["label_order"] == "registered"
        known = self._menus.get((prompt,)) if fixed else None
        if known is not None:
            return known
        if member is None:
            menu = Menu.plain(self.labels)
        else:
            menu = menu_from(member, self.labels, utterance_id, self.seed)
        return self._menus.setdefault((prompt,) if fixed else (prompt, menu.order), menu)

    def of_text(self, text: str, finish_reason: str, menu: Menu | None) -> Verdict:
        """The verdict on a stored reply."""
        return read_reply(text, finish_reason, menu, self.spec, self.dimensions, self.scale)


def choose_verbalizer(header: Json, override: str | None) -> tuple[AnyVerbalizer, Json]:
    """The verbalizer to read with, and its identity for the results.

    Raises:
        DataRoomError: Where the run's own verbalizer has other bytes now.
    """
    run_with = header["verbalizer"]
    spec, digest = registered(override or run_with["id"])
    if spec.ref == run_with["id"] and digest != run_with["sha256"]:
        raise DataRoomError(
            f"verbalizer {spec.ref} has SHA-256 {digest} here, the run was made with "
            f"{run_with['sha256']}: a registered file was changed; restore it"
        )
    identity: Json = {"id": spec.ref, "sha256": digest, "run_with": run_with}
    if isinstance(spec, VerbalizerSpec) and spec.reviewed:
        identity["reviewed"] = dict(spec.reviewed)
    return spec, identity
