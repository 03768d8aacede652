"""What a corpus card must hold to beyond its schema: its keys agree with one another."""

from __future__ import annotations

from ..errors import DataRoomError, LabelSetError
from ..labels import require_known
from ..rooms import Document
from ..specs import CorpusCard
from .ontology import ontology


def check_corpus(card: CorpusCard, document: Document) -> None:
    """Hold a card to what no schema can say: labels that exist, defaults and folds that are there.

    Raises:
        DataRoomError: With file, line and key of the first thing that is wrong.
    """
    require_known(list(card.labels.values()), document.where(("labels",)))
    for name, label_set in card.label_sets.items():
        at = document.where(("label_sets", name))
        require_known(label_set.labels, at)
        known = set(card.labels.values())
        for label in [*label_set.labels, *label_set.merge]:
            reachable = label in known or label in label_set.merge.values()
            if not reachable:
                raise DataRoomError(f"{at}: no raw label of the card maps to {label!r}")
        try:
            card.label_set(name)
        except LabelSetError as error:
            raise DataRoomError(f"{at}: {error}") from error
    if bool(card.labels) != bool(card.label_sets):
        raise DataRoomError(
            f"{document.where(('labels',))}: labels and label_sets are both there, or both empty "
            "({}) for a corpus that has dimensional ratings only"
        )
    for key, names in (
        ("default_label_set", card.label_sets),
        ("default_protocol", card.protocols),
    ):
        if not names and key == "default_label_set":
            continue
        value = getattr(card, key)
        if value not in names:
            raise DataRoomError(
                f"{document.where((key,))}: {value!r} is not one of {', '.join(names)}"
            )
    for raw in card.expected.labels:
        if raw not in card.labels:
            at = document.where(("expected", "labels", raw))
            raise DataRoomError(f"{at}: is not a raw label of the card: {', '.join(card.labels)}")
    for name, protocol in card.protocols.items():
        if isinstance(protocol.default_fold, int) and protocol.default_fold > protocol.folds:
            at = document.where(("protocols", name, "default_fold"))
            raise DataRoomError(
                f"{at}: fold {protocol.default_fold} of {protocol.folds} does not exist"
            )
    if card.dimensions is not None and card.dimensions.low >= card.dimensions.high:
        raise DataRoomError(f"{document.where(('dimensions',))}: low must be below high")

    _check_rules(card, document)


def _check_rules(card: CorpusCard, document: Document) -> None:
    """Every mapping of a raw label names a rule of the ontology, if any of the card's does."""
    rules = ontology().rules
    for key, rule in ((("label_rule",), card.label_rule), *_rules_of(card)):
        if rule is not None and rule not in rules:
            raise DataRoomError(
                f"{document.where(key)}: {rule!r} is no rule of the ontology; allowed: "
                f"{', '.join(rules)}"
            )
    for raw in card.label_rules:
        if raw not in card.labels:
            raise DataRoomError(
                f"{document.where(('label_rules', raw))}: is not a raw label of the card: "
                f"{', '.join(card.labels)}"
            )


def _rules_of(card: CorpusCard) -> list[tuple[tuple[str, ...], str]]:
    return [(("label_rules", raw), rule) for raw, rule in card.label_rules.items()]
