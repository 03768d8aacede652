"""The data rooms: strict YAML, registered digests, schemas that are their specs, look-ups."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest

from voxemo_tasks import registry, rooms, specs
from voxemo_tasks.errors import BrokenInstallError, DataRoomError, UnknownNameError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _forget():
    """What one test loads from a room of its own is not there for the next."""
    registry.clear()
    yield
    registry.clear()


@pytest.fixture
def read(tmp_path):
    """Read a text as a YAML file."""

    def reader(text):
        file = tmp_path / "file.v1.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return rooms.read_yaml(file)

    return reader


# ---- strict YAML


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("No", "No"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("NULL", "NULL"),
        ("'true'", "true"),
        ('"null"', "null"),
        ("'7'", "7"),
        ('""', ""),
        ("7", 7),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("007", "007"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("0.5", 0.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        ("1e", "1e"),
        (".", "."),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("2026-01-01", "2026-01-01"),
        ("12:30:45", "12:30:45"),
        ("=", "="),
        ("٣", "٣"),
        ("|\n  no\n  7\n", "no\n7\n"),
        (">-\n  true\n", "true"),
        ("[no, 1, ~]", ["no", 1, None]),
        ("{off: on}", {"off": "on"}),
    ],
)
def test_scalars(read, written, value):
    got = read(f"key: {written}\n").data["key"]
    assert got == value
    assert type(got) is type(value)


def test_keys_are_text(read):
    text = "no: 1\ntrue: 2\n7: 3\n<<: {a: 4}\n"
    assert read(text).data == {"no": 1, "true": 2, "7": 3, "<<": {"a": 4}}


def test_lines_and_digest(read):
    text = "a: 1\nb:\n  c: 2\n  d:\n    - 3\n    - 4\n"
    document = read(text)
    assert document.where(("b", "d", 1)) == f"{document.path}:6, key b.d.1"
    assert document.where(("b", "missing")) == f"{document.path}:2, key b.missing"
    assert document.where(()) == f"{document.path}:1, key (top level)"
    assert document.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_line_ends_and_byte_order_mark(read):
    assert read(b"\xef\xbb\xbfa: 1\r\nb: x\r\n").data == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3, key a: stands twice (first on line 1)"),
        ("x:\n  y: 1\n  'y': 2\n", ":3, key x.y: stands twice (first on line 2)"),
        ("x:\n  - y: 1\n    y: 2\n", ":3, key x.0.y: stands twice"),
        ("a: &here 1\n", ":1: anchors and aliases"),
        ("a: 1\nb: &here {c: 1}\n", ":2: anchors and aliases"),
        ("a: &here 1\nb: *here\n", "anchors and aliases"),
        ("a: 1\nb: !mine 3\n", ":2: the tag !mine"),
        ("a: 1\nb: ! 3\n", ":2: the tag ! "),
        ("a: !!str 3\n", ":1: the tag tag:yaml.org,2002:str"),
        ("a: !!python/object/apply:os.getcwd []\n", "the tag tag:yaml.org,2002:python/object"),
        ("a: !!set {x}\n", "the tag tag:yaml.org,2002:set"),
        ("!!str a: 3\n", "the tag tag:yaml.org,2002:str"),
        ("!!map {a: 1}\n", "the tag tag:yaml.org,2002:map"),
        ("? [a, b]\n: 1\n", ":1: a key must be text"),
        ("- a\n- b\n", ":1: the file must be a mapping"),
        ("just words\n", ":1: the file must be a mapping"),
        ("", ":1: the file must be a mapping"),
        ("# a comment\n", ":1: the file must be a mapping"),
        ("a: 1\n---\nb: 2\n", ":2: not valid YAML"),
        ("a:\n\tb: 1\n", ":2: not valid YAML: found character '\\t'"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: 'open\n", "not valid YAML"),
        ("a: b: c\n", ":1: not valid YAML"),
        ("a: *nowhere\n", "anchors and aliases"),
        (b"a: 1\nb: \xff\n", "is not UTF-8 (invalid start byte at byte 8)"),
        ("a: \x07\n", "not valid YAML"),
    ],
)
def test_refused(read, text, says):
    with pytest.raises(DataRoomError) as caught:
        read(text)
    assert says in str(caught.value)
    assert "file.v1.yaml" in str(caught.value)


def test_a_number_beyond_reason_is_a_data_room_error_or_text(read):
    """Python refuses to read an integer of more than 4,300 digits; that must not surface."""
    digits = "9" * 5000
    assert read(f"a: {digits}\n").data == {"a": digits}


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataRoomError, match=r"missing\.v1\.yaml: cannot be read"):
        rooms.read_yaml(tmp_path / "missing.v1.yaml")
    with pytest.raises(DataRoomError, match="cannot be read"):
        rooms.read_yaml(tmp_path)


# ---- digests


@pytest.fixture
def room(tmp_path):
    """A room with one registered file."""
    folder = tmp_path / "verbalizers"
    folder.mkdir()
    (folder / "a.v1.yaml").write_text("id: a\n", encoding="utf-8")
    assert rooms.lock(folder) == (["a.v1.yaml"], [])
    return folder


def test_lock_adds_and_keeps(room):
    (room / "sub").mkdir()
    (room / "sub" / "b.v2.yaml").write_text("id: b\n", encoding="utf-8")
    first = rooms.read_sums(room)
    assert rooms.lock(room) == (["sub/b.v2.yaml"], ["a.v1.yaml"])
    sums = rooms.read_sums(room)
    assert list(sums) == ["a.v1.yaml", "sub/b.v2.yaml"]
    assert sums["a.v1.yaml"] == first["a.v1.yaml"] == hashlib.sha256(b"id: a\n").hexdigest()
    written = (room / rooms.SUMS).read_bytes()
    assert rooms.lock(room) == ([], ["a.v1.yaml", "sub/b.v2.yaml"])
    assert (room / rooms.SUMS).read_bytes() == written
    assert written.endswith(b"  sub/b.v2.yaml\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\n", "anchors and aliases"),
        ("a: !!str 1\n", "tag"),
        ("a: 1\na: 2\n", "stands twice"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_lock_registers_nothing_that_the_strict_reader_refuses(room, text, message):
    """What is registered is read by a parser that would let some of this pass."""
    (room / "new.v1.yaml").write_text(text, encoding="utf-8")
    before = (room / rooms.SUMS).read_bytes()
    with pytest.raises(DataRoomError, match=message):
        rooms.lock(room)
    assert (room / rooms.SUMS).read_bytes() == before
    other = hashlib.sha256(b"other bytes").hexdigest()
    with pytest.raises(DataRoomError, match=message):
        rooms.read_yaml(room / "new.v1.yaml", other)


@pytest.mark.parametrize("harm", ["tampered", "removed"])
def test_lock_refuses_and_writes_nothing(room, harm):
    file = room / "a.v1.yaml"
    if harm == "tampered":
        file.write_text("id: a \n", encoding="utf-8")
    else:
        file.unlink()
    (room / "new.v1.yaml").write_text("id: new\n", encoding="utf-8")
    before = (room / rooms.SUMS).read_bytes()
    with pytest.raises(DataRoomError, match=r"a\.v1\.yaml: is registered"):
        rooms.lock(room)
    assert (room / rooms.SUMS).read_bytes() == before


def test_a_tampered_file_is_refused(room):
    file = room / "a.v1.yaml"
    rooms.check_digest(rooms.read_yaml(file), room)
    file.write_text("id: a # softened\n", encoding="utf-8")
    with pytest.raises(DataRoomError, match=r"not the registered ones.*put a new wording"):
        rooms.check_digest(rooms.read_yaml(file), room)


def test_an_unregistered_file_is_refused(room):
    file = room / "b.v1.yaml"
    file.write_text("id: b\n", encoding="utf-8")
    with pytest.raises(DataRoomError, match=r"is not registered.*`voxemo verbalizers lock`"):
        rooms.check_digest(rooms.read_yaml(file), room)


@pytest.mark.parametrize(
    "line", ["abc  a.v1.yaml", "A" * 64 + "  a.v1.yaml", "a" * 64 + " a.v1.yaml", "a" * 64]
)
def test_a_broken_line_of_sums_is_refused(room, line):
    with (room / rooms.SUMS).open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
    with pytest.raises(DataRoomError, match="SHA256SUMS:3: expected"):
        rooms.read_sums(room)


def test_a_file_registered_twice_is_refused(room):
    with (room / rooms.SUMS).open("a", encoding="utf-8") as stream:
        stream.write(f"{'0' * 64}  a.v1.yaml\n")
    with pytest.raises(DataRoomError, match=r"a\.v1\.yaml"):
        rooms.read_sums(room)


def test_a_room_without_sums_has_nothing_registered(tmp_path):
    assert rooms.read_sums(tmp_path) == {}


@pytest.mark.parametrize("name", ["a.yaml", "A.v1.yaml", "a.v0.yaml", "a.v01.yaml", "a-b.v1.yaml"])
def test_badly_named_files_are_refused(room, name):
    (room / name).write_text("id: a\n", encoding="utf-8")
    with pytest.raises(DataRoomError, match=r"<id>\.v<n>\.yaml"):
        rooms.room_files(room)


def test_a_missing_room_is_a_broken_install(monkeypatch, tmp_path):
    monkeypatch.setattr(rooms, "PACKAGE", tmp_path / "voxemo_tasks")
    with pytest.raises(BrokenInstallError, match=r"'prompts'.*prompt\.schema\.json"):
        rooms.room_path("prompts")
    inside = tmp_path / "voxemo_tasks" / "data" / "prompts"
    beside = tmp_path / "prompts"
    for place in (beside, inside):  # the wheel's own copy comes first
        place.mkdir(parents=True)
        (place / "prompt.schema.json").write_text("{}", encoding="utf-8")
        assert rooms.room_path("prompts") == place


# ---- what is checked in


def writer():
    """``scripts/write_schemas.py`` as a module."""
    spec = importlib.util.spec_from_file_location(
        "write_schemas", ROOT / "scripts" / "write_schemas.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCHEMAS = writer().PLACES


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_schema_is_its_spec(path):
    expected = writer().rendered(SCHEMAS[path])
    assert path.read_text(encoding="utf-8") == expected, "run scripts/write_schemas.py"


def test_every_schema_has_a_writer():
    found = set(ROOT.glob("*/*.schema.json")) | set(ROOT.glob("voxemo_tasks/**/*.schema.json"))
    assert found == set(SCHEMAS)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_file_can_be_taken_for_an_lm_eval_task(path):
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["additionalProperties"] is False
    # A judge's `task` is a value from a list, and its room is never on lm-eval's path.
    assert not {"group", "class"} & set(schema["properties"])
    if SCHEMAS[path] is not specs.JudgeSpec:
        assert "task" not in schema["properties"]


@pytest.mark.parametrize("room_name", rooms.ROOMS)
def test_every_registered_file_is_there_and_unchanged(room_name):
    folder = rooms.room_path(room_name)
    files = {p.relative_to(folder).as_posix(): p for p in rooms.room_files(folder)}
    assert set(rooms.read_sums(folder)) == set(files), f"run `voxemo {room_name} lock`"
    for name, path in files.items():
        strictly = rooms.read_yaml(path)
        rooms.check_digest(strictly, folder)
        quickly = rooms.read_yaml(path, rooms.read_sums(folder)[name])
        assert quickly == strictly  # data, lines, digest


def test_a_registered_file_is_composed_by_libyaml(room, monkeypatch):
    if not hasattr(rooms.yaml, "CSafeLoader"):
        pytest.skip("this PyYAML was built without libyaml")
    monkeypatch.delattr(rooms, "_PlainLoader")
    sums = rooms.read_sums(room)
    assert rooms.read_yaml(room / "a.v1.yaml", sums["a.v1.yaml"]).data == {"id": "a"}
    with pytest.raises(NameError):
        rooms.read_yaml(room / "a.v1.yaml")


def test_everything_registered_loads():
    for spec in registry.prompts():
        assert registry.prompt(spec.ref)[0] is spec
    for spec in registry.verbalizers():
        assert registry.verbalizer(spec.ref)[0] is spec
    for spec in registry.judges():
        assert registry.judge(spec.ref)[0] is spec
    assert registry.hygiene()[0].attacks
    for card in registry.corpora():
        assert registry.corpus(card.id)[0] is card
        for name in card.label_sets:
            assert card.label_set(name).labels
    for card in registry.models():
        for architecture in card.architectures:
            assert registry.model_for(architecture)[0] is card


# ---- look-ups


PROMPT = """\
schema: voxemo-prompt/1
id: {id}
version: {version}
tier: {tier}
language: {language}
title: A question
text: "Which of {{labels}}?"
default: {default}
verbalizer: reader
decoding:
  max_new_tokens: 8
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Rooms of this test's own; ``add(id, …)`` registers a prompt."""
    monkeypatch.setattr(rooms, "PACKAGE", tmp_path / "voxemo_tasks")
    for room_name, stem in rooms.ROOMS.items():
        folder = tmp_path / room_name
        folder.mkdir()
        name = f"{stem}.schema.json"
        (folder / name).write_bytes((ROOT / room_name / name).read_bytes())
    monkeypatch.setattr(registry, "verbalizer", lambda ref: (ref, ""))
    folder = tmp_path / "prompts"

    def add(name, version=1, tier="direct", language="en", default="false", text=None, lock=True):
        file = folder / tier / f"{name}.v{version}.yaml"
        file.parent.mkdir(exist_ok=True)
        filled = PROMPT.format(
            id=name, version=version, tier=tier, language=language, default=default
        )
        file.write_text(text or filled, encoding="utf-8")
        if lock:
            rooms.lock(folder)
        registry.clear()
        return file

    return add


def test_newest_and_exact_versions(library):
    for version in (1, 2, 10):
        library("ask", version)
    assert registry.prompt("ask")[0].version == 10
    found, digest = registry.prompt("ask@2")
    assert (found.ref, len(digest)) == ("ask@2", 64)
    assert [p.ref for p in registry.prompts()] == ["ask@1", "ask@2", "ask@10"]


def test_unknown_names_list_the_nearest(library):
    library("direct_en")
    library("direct_de", language="de")
    with pytest.raises(UnknownNameError) as caught:
        registry.prompt("direct_em")
    assert (caught.value.kind, caught.value.name) == ("prompt", "direct_em")
    assert caught.value.nearest[0] == "direct_en"
    assert "did you mean 'direct_en'" in str(caught.value)
    assert "voxemo prompts ls" in str(caught.value)
    with pytest.raises(UnknownNameError, match="known: direct_de, direct_en"):
        registry.prompt("zzz")
    for ref in ("direct_en@7", "direct_en@x", "direct_en@-1", "direct_en@²"):
        with pytest.raises(UnknownNameError, match="direct_en@1"):
            registry.prompt(ref)
    for look_up in (registry.corpus, registry.judge, registry.model_for):
        with pytest.raises(UnknownNameError, match=r"no .* is called 'nonesuch'"):
            look_up("nonesuch")


def test_the_default_prompt_of_a_tier(library):
    library("ask_en", 1, default="true")
    library("ask_en", 2, default="true")
    library("ask_de", 1, language="de", default="true")
    library("other_en", 3)
    assert registry.default_prompt("direct").ref == "ask_en@2"
    assert registry.default_prompt("direct", "en-GB").ref == "ask_en@2"
    assert registry.default_prompt("direct", "de").ref == "ask_de@1"
    assert registry.tiers() == ["direct"]
    with pytest.raises(UnknownNameError, match="language of prompt tier 'direct'"):
        registry.default_prompt("direct", "fr")
    with pytest.raises(UnknownNameError, match=r"prompt tier.*did you mean 'direct'"):
        registry.default_prompt("dirct")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("version: 1", "version: one"), ":3, key version: 'one' is not"),
        (("version: 1", "version: 2"), "they must agree"),
        (("id: ask", "id: ask_me"), ":2, key id: the file is called ask.v1.yaml"),
        (("title: A question\n", ""), "'title' is a required property"),
        (("title:", "task: sneaky\ntitle:"), "'task' was unexpected"),
        (("  max_new_tokens: 8", "  max_new_tokens: 0"), ":11, key decoding.max_new_tokens: 0"),
        (("  max_new_tokens: 8", "  max_new_tokens: '8'"), "key decoding.max_new_tokens"),
        (("default: false", "default: no"), ":8, key default: 'no' is not"),
        (("language: en", "language: English"), ":5, key language"),
        (("tier: direct", "tier: other"), "says tier 'other' but does not lie in"),
        (("{labels}", "{names}"), "key text: Value error, unknown placeholder"),
    ],
)
def test_a_bad_file_is_named_with_line_and_key(library, change, says):
    good = PROMPT.format(id="ask", version=1, tier="direct", language="en", default="false")
    assert change[0] in good
    library("ask", text=good.replace(*change))
    with pytest.raises(DataRoomError) as caught:
        registry.prompts()
    assert says in str(caught.value)


def test_the_registry_holds_files_to_their_digests(library):
    file = library("ask")
    assert registry.prompt("ask")
    file.write_text(file.read_text(encoding="utf-8").replace("Which", "What"), encoding="utf-8")
    registry.clear()
    with pytest.raises(DataRoomError, match="not the registered ones"):
        registry.prompts()
    library("other", lock=False, tier="direct")
    file.unlink()
    with pytest.raises(DataRoomError, match="is not registered"):
        registry.prompts()


def test_an_id_exists_once_whatever_its_tier(library):
    library("ask")
    library("ask", tier="reasoned")
    with pytest.raises(DataRoomError, match="ask version 1 exists twice"):
        registry.prompts()


def test_a_broken_schema_is_named(library, tmp_path):
    (tmp_path / "prompts" / "prompt.schema.json").write_text("{", encoding="utf-8")
    registry.clear()
    with pytest.raises(DataRoomError, match=r"prompt\.schema\.json: cannot be read"):
        registry.prompts()
