"""What the synthetic speakers say, who says it, and how the tiny model is asked.

Conventions
-----------
part        ``train`` feeds the tiny model; ``test`` measures it; ``mini`` is the mini corpus. No
            sentence and no voice variant stands in two parts, so both later parts are unseen twice
sentences   short, emotionally neutral, translations of one another by position
questions   composed of pieces, so that training sees thousands of wordings; the held-out wordings
            are written out whole and share no sentence with the pieces
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Part = Literal["train", "test", "mini"]

EMOTIONS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


@dataclass(frozen=True, slots=True)
class Language:
    """A language as the synthesizer and as the metadata know it.

    Attributes:
        engine: espeak-ng voice name.
        tag: BCP-47 tag with region.
        country: ISO 3166 alpha-2 code, the ``culture`` of the clips.
        sentences: Sentences of each part.
    """

    engine: str
    tag: str
    country: str
    sentences: dict[Part, tuple[str, ...]]


def _split(text: str) -> dict[Part, tuple[str, ...]]:
    """Three blocks of lines, divided by a blank line, in the order train, test, mini."""
    train, test, mini = (tuple(b.strip().splitlines()) for b in text.strip().split("\n\n"))
    return {"train": train, "test": test, "mini": mini}


LANGUAGES: dict[str, Language] = {
    "en": Language(
        "en-us",
        "en-US",
        "US",
        _split("""
The train leaves at nine.
The book is on the table.
We live in a small house.
My brother works in town.
The window is still open.
They arrive on Monday.
The meeting is in room four.
I bought bread and milk.
The car is in the garage.
She is reading the newspaper.
The bag stood near the stairs.
Tomorrow we clean the kitchen.

The children are at school.
He writes a letter today.
The bus stops over there.
Our neighbour has a bicycle.

The door is made of wood.
The coat hangs in the hall.
Dinner is at seven.
"""),
    ),
    "de": Language(
        "de",
        "de-DE",
        "DE",
        _split("""
Der Zug fährt um neun.
Das Buch liegt auf dem Tisch.
Wir wohnen in einem kleinen Haus.
Mein Bruder arbeitet in der Stadt.
Das Fenster ist noch offen.
Sie kommen am Montag an.
Die Sitzung ist in Raum vier.
Ich habe Brot und Milch gekauft.
Das Auto steht in der Garage.
Sie liest gerade die Zeitung.
Die Tasche stand neben der Treppe.
Morgen putzen wir die Küche.

Die Kinder sind in der Schule.
Er schreibt heute einen Brief.
Der Bus hält dort drüben.
Unser Nachbar hat ein Fahrrad.

Die Tür ist aus Holz.
Der Mantel hängt im Flur.
Um sieben gibt es Essen.
"""),
    ),
    "fr": Language(
        "fr",
        "fr-FR",
        "FR",
        _split("""
Le train part à neuf heures.
Le livre est sur la table.
Nous vivons dans une petite maison.
Mon frère travaille en ville.
La fenêtre est encore ouverte.
Ils arrivent lundi.
La réunion est en salle quatre.
J'ai acheté du pain et du lait.
La voiture est au garage.
Elle lit le journal.
Le sac était près de l'escalier.
Demain nous nettoyons la cuisine.

Les enfants sont à l'école.
Il écrit une lettre aujourd'hui.
Le bus s'arrête là-bas.
Notre voisin a un vélo.

La porte est en bois.
Le manteau est dans l'entrée.
Le dîner est à sept heures.
"""),
    ),
    "es": Language(
        "es",
        "es-ES",
        "ES",
        _split("""
El tren sale a las nueve.
El libro está sobre la mesa.
Vivimos en una casa pequeña.
Mi hermano trabaja en la ciudad.
La ventana sigue abierta.
Ellos llegan el lunes.
La reunión es en la sala cuatro.
Compré pan y leche.
El coche está en el garaje.
Ella lee el periódico.
La bolsa estaba junto a la escalera.
Mañana limpiamos la cocina.

Los niños están en la escuela.
Él escribe una carta hoy.
El autobús para allí.
Nuestro vecino tiene una bicicleta.

La puerta es de madera.
El abrigo está en la entrada.
La cena es a las siete.
"""),
    ),
    "it": Language(
        "it",
        "it-IT",
        "IT",
        _split("""
Il treno parte alle nove.
Il libro è sul tavolo.
Viviamo in una piccola casa.
Mio fratello lavora in città.
La finestra è ancora aperta.
Loro arrivano lunedì.
La riunione è nella sala quattro.
Ho comprato pane e latte.
La macchina è in garage.
Lei legge il giornale.
La borsa era vicino alle scale.
Domani puliamo la cucina.

I bambini sono a scuola.
Oggi lui scrive una lettera.
L'autobus si ferma laggiù.
Il nostro vicino ha una bicicletta.

La porta è di legno.
Il cappotto è nell'ingresso.
La cena è alle sette.
"""),
    ),
    "ur": Language(
        "ur",
        "ur-PK",
        "PK",
        _split("""
گاڑی نو بجے جاتی ہے۔
کتاب میز پر ہے۔
ہم چھوٹے گھر میں رہتے ہیں۔
میرا بھائی شہر میں کام کرتا ہے۔
کھڑکی ابھی کھلی ہے۔
وہ پیر کو آتے ہیں۔
اجلاس کمرہ چار میں ہے۔
میں نے روٹی اور دودھ خریدا۔
کار گیراج میں ہے۔
وہ اخبار پڑھ رہی ہے۔
تھیلا سیڑھی کے پاس تھا۔
کل ہم باورچی خانہ صاف کریں گے۔

بچے اسکول میں ہیں۔
وہ آج خط لکھتا ہے۔
بس وہاں رکتی ہے۔
پڑوسی کے پاس سائیکل ہے۔

دروازہ لکڑی کا ہے۔
کوٹ کمرے میں لٹکا ہے۔
کھانا سات بجے ہے۔
"""),
    ),
    "zh": Language(
        "cmn",
        "zh-CN",
        "CN",
        _split("""
火车九点出发。
书在桌子上。
我们住在小房子里。
我哥哥在城里工作。
窗户还开着。
他们星期一到。
会议在四号房间。
我买了面包和牛奶。
汽车在车库里。
她在看报纸。
包放在楼梯旁边。
明天我们打扫厨房。

孩子们在学校。
他今天写一封信。
公共汽车停在那里。
我们的邻居有自行车。

门是木头做的。
大衣挂在走廊里。
晚饭七点开始。
"""),
    ),
}
"""The languages by their short code, which file names and speaker ids start with."""

VOICES: dict[Part, dict[str, str]] = {
    "train": {
        "f1": "female",
        "f4": "female",
        "Annie": "female",
        "Andrea": "female",
        "anika": "female",
        "belinda": "female",
        "linda": "female",
        "steph": "female",
        "m1": "male",
        "m2": "male",
        "m3": "male",
        "m5": "male",
        "m7": "male",
        "Diogo": "male",
        "Denis": "male",
        "sandro": "male",
    },
    "test": {"f3": "female", "m4": "male", "Alicia": "female", "Lee": "male"},
    "mini": {"f5": "female", "m6": "male", "grandma": "female", "victor": "male"},
}
"""espeak-ng voice variants and their gender, by part; in ``mini`` the order numbers the folds.
Of variants that are near copies of one another (Hugo, Michel, Diogo; Aunty, f4) one is used."""


# How the model is asked ---------------------------------------------------------------------

DEFAULT_QUESTION = (
    "What emotion does the speaker's voice express? Choose one of: {options}. "
    "Answer with that one word only."
)
"""The wording behind every headline figure of the tiny model."""

_OPENINGS = (
    "",
    "",
    "",
    "",
    "Listen to the recording.",
    "Listen to the audio clip.",
    "Here is a short speech recording.",
    "You hear one speaker.",
    "Pay attention to the tone of voice.",
    "Ignore what is said and attend to how it is said.",
    "You are an expert in speech emotion recognition.",
)
_QUESTIONS = (
    "What emotion does the speaker's voice express?",
    "Which emotion does the voice express?",
    "Which emotion do you hear?",
    "How does the speaker feel?",
    "How does this person sound?",
    "Name the emotion.",
    "Name the speaker's emotion.",
    "What is the emotional state of the speaker?",
    "Identify the emotion in this speech.",
    "Classify the emotion of the speaker.",
    "What is the emotion of this utterance?",
    "Recognize the emotion expressed in the recording.",
    "Decide which emotion the speaker conveys.",
)
_MENUS = (
    "Choose one of: {options}.",
    "Choose one of the following: {options}.",
    "Choose from: {options}.",
    "Options: {options}.",
    "Options: {options}",
    "Options:\n{lines}",
    "Select one label from this list: {options}.",
    "The possible answers are {options}.",
    "Is it {ors}?",
    "({options})",
    "Labels: {options}.",
)
_ENDINGS = (
    "",
    "",
    "Answer with that one word only.",
    "Answer with one word.",
    "Answer with one word only.",
    "Reply with the label only.",
    "Give only the label.",
    "Respond with a single word from the list.",
    "Do not explain.",
    "Output the emotion only.",
)
HELD_OUT_QUESTIONS: tuple[str, ...] = (
    "After hearing this person talk, which of these words fits their mood best: {options}?",
    "Tell me what the talker seems to be feeling. Pick exactly one: {options}.",
    "Emotion label for the above audio ({ors}):",
    "Your task is to judge vocal affect. Allowed responses: {options}. Write one of them, "
    "nothing else.",
    "Please describe the mood of the person talking in one word.",
    "Judging by pitch, pace and loudness, what is this speaker going through?\n{lines}\n"
    "Return one entry of the list.",
)
"""Wordings that training never sees; the fifth lists no options."""

SYSTEM_PROMPTS: tuple[str | None, ...] = (
    None,
    None,
    None,
    None,
    "You are a careful listener.",
    "You are an assistant that recognizes emotion in speech.",
)
"""``None``: the chat template's own system message."""


def fill(question: str, options: Sequence[str]) -> str:
    """Put a menu into a wording.

    Args:
        question: A wording with any of ``{options}``, ``{ors}``, ``{lines}``.
        options: The labels, in the order in which they are offered.

    Example:
        >>> fill("How? Options: {options}.", ["sad", "happy"])
        'How? Options: sad, happy.'
        >>> fill("Is it {ors}?", ["sad", "happy", "fear"])
        'Is it sad, happy or fear?'
    """
    head, last = ", ".join(options[:-1]), options[-1]
    return question.format(
        options=", ".join(options),
        ors=f"{head} or {last}" if head else last,
        lines="\n".join(f"- {o}" for o in options),
    )


def compose_question(rng: random.Random) -> str:
    """Draw one training wording: an opening, a question, mostly a menu, an ending."""
    if rng.random() < 0.2:
        return DEFAULT_QUESTION
    menu = rng.choice(_MENUS) if rng.random() < 0.85 else ""
    parts = [rng.choice(_OPENINGS), rng.choice(_QUESTIONS), menu, rng.choice(_ENDINGS)]
    if rng.random() < 0.15:  # the instruction may also come before the question
        parts = [parts[0], parts[3], parts[1], parts[2]]
    return " ".join(p for p in parts if p)


def draw_menu(rng: random.Random, gold: Sequence[str]) -> list[str]:
    """Draw the labels on offer, in random order: all seven half the time, else 2 to 6 of them.

    Args:
        rng: Seeded source.
        gold: Labels that must be on the menu.
    """
    menu = list(EMOTIONS)
    if rng.random() < 0.5:
        others = [e for e in EMOTIONS if e not in gold]
        size = rng.choice((2, 3, 4, 4, 4, 5, 6))
        menu = list(gold) + rng.sample(others, max(size - len(gold), 1))
    if rng.random() < 0.65:
        rng.shuffle(menu)
    else:
        menu.sort()
    return menu
