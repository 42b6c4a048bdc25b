import dataclasses
import tomllib
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest

from lcmis.audit.config import checker_settings, load_config, model_settings
from lcmis.errors import ConfigError, UserError
from lcmis.findings import settings_of
from lcmis.plugins.settings import (
    ApartSettings,
    AuditSettings,
    CheckerSettings,
    HostedSettings,
    ModelSettings,
    RemoteSettings,
    StoppingSettings,
    TextModelSettings,
    WorkersSettings,
)
from lcmis.types import Adapter, Embedding, Run


def write(folder: Path, text: str) -> Path:
    path = folder / "audit.toml"
    path.write_text(text, "utf-8")
    return path


def test_without_a_file_the_embedded_default_is_audited(monkeypatch):
    monkeypatch.delenv("LCMIS_STORE", raising=False)
    assert load_config() == AuditSettings(
        models=(ModelSettings("teacup-narrow"), ModelSettings("teacup-broad")),
        checkers=(CheckerSettings("teacup-judge"), CheckerSettings("teacup-clip")),
        pairs=("teacup",),
    )


def test_a_file_says_everything_the_flags_do(tmp_path):
    config = load_config(
        write(
            tmp_path,
            """
            pairs = ["everyday", "mine.csv"]
            limit = 30
            [[models]]
            name = "some/model"
            revision = "abc"
            num_inference_steps = 20
            adapters = [{name = "style", weight = 0.5}]
            [[checkers]]
            kind = "vqa"
            name = "some/judge"
            [stopping]
            rule = "curtailed"
            cap = 64
            """,
        )
    )
    assert config.models == (
        ModelSettings(
            "some/model",
            revision="abc",
            num_inference_steps=20,
            adapters=(Adapter("style", 0.5),),
        ),
    )
    assert config.checkers == (CheckerSettings("vqa", "some/judge"),)
    assert (config.stopping.rule, config.stopping.cap, config.stopping.block) == (
        "curtailed",
        64,
        4,
    )
    assert (config.pairs, config.limit) == (("everyday", "mine.csv"), 30)


def test_flags_go_before_the_file(tmp_path):
    path = write(tmp_path, "limit = 3\n[stopping]\ncap = 8")
    config = load_config(path, limit=5, stopping={"rule": "fixed"}, threshold=None)
    assert (config.limit, config.stopping.rule, config.stopping.cap) == (5, "fixed", 8)


def test_the_environment_names_a_store_where_nothing_else_does(tmp_path, monkeypatch):
    monkeypatch.setenv("LCMIS_STORE", "elsewhere")
    assert load_config().store == "elsewhere"
    assert load_config(write(tmp_path, 'store = "here"')).store == "here"


def test_models_and_checkers_have_short_forms(tmp_path):
    config = load_config(
        write(tmp_path, 'models = ["org/m@v1"]\ncheckers = ["clip:A/b", "vqa:c@2"]')
    )
    assert config.models == (ModelSettings("org/m", revision="v1"),)
    assert config.checkers == (CheckerSettings("clip", "A/b"), CheckerSettings("vqa", "c", "2"))
    assert model_settings("plain") == ModelSettings("plain")
    assert checker_settings("judge") == CheckerSettings("judge")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('stor = "x"', "did you mean 'store'"),
        ("[[models]]\nname='x'\nguidance=3", "did you mean 'guidance_scale'"),
        ("[[models]]\nname='x'\nadapters=[{nam='x'}]", "did you mean 'name'"),
        ('[stopping]\nrule = "coin"', "'sprt', 'curtailed' or 'fixed'"),
        ("[stopping]\ndelta = 0.6", "choose a smaller delta"),
        ("[stopping]\ncap = 2", "less than one block"),
        ("threshold = 1.5", "between 0 and 1"),
        ("limit = 0", "at least 1"),
        ("limit = 'many'", "valid integer"),
        ("models = []", "name at least one"),
        ("models = 3", "it is a list"),
        ("first_seed = -1", "first_seed"),
        ("x", "no valid TOML"),
        ("stopping = 3", "must be a table"),
    ],
    ids=lambda value: value[:20],
)
def test_a_wrong_setting_is_one_sentence_that_says_what_to_do(tmp_path, text, sentence):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "audit.toml" in str(caught.value)


def test_a_missing_binary_or_foreign_file_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_a_name_of_a_thousand_dots_is_refused_before_it_is_read(tmp_path):
    path = write(tmp_path, ".".join("a" * 20_000) + " = 1")
    with pytest.raises(ConfigError, match="more than 16 dots"):
        load_config(path)


def test_a_name_of_a_thousand_letters_is_not_repeated(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "x" * 40_000 + " = 1"))
    assert len(str(caught.value)) < 400


KINDS = {  # how a file writes a table of each kind, and what it must say
    "": AuditSettings,
    "[[models]]\nname = 'x'\n": ModelSettings,
    "[[models]]\nname = 'hosted:x'\n[models.hosted]\n": HostedSettings,
    "[[models]]\nname = 'x'\n[[models.adapters]]\nname = 'x'\n": Adapter,
    "[[models]]\nname = 'x'\n[[models.embeddings]]\nname = 'x'\n": Embedding,
    "[[checkers]]\nkind = 'x'\n": CheckerSettings,
    "[[checkers]]\nkind = 'openai'\n[checkers.remote]\n": RemoteSettings,
    "[stopping]\n": StoppingSettings,
    "[workers]\n": WorkersSettings,
    "[[workers.apart]]\nname = 'x'\n": ApartSettings,
    "[text_model]\nkind = 'x'\n": TextModelSettings,
}
WRONG = ("3", "true", '"x"', "[]", "[3]", "{}", "nan", "inf", "-inf", "1e400", "-1", f"{10**30}")


def test_every_kind_of_settings_is_tried():
    found = {AuditSettings}
    while inner := {one for kind in found for one in settings_in(kind)} - found:
        found |= inner
    assert found == set(KINDS.values())


def settings_in(kind):
    """Of which its fields are made."""
    hints = [get_origin(one) or one for one in get_type_hints(kind).values()]
    hints += [part for one in get_type_hints(kind).values() for part in get_args(one)]
    return {one for one in hints if dataclasses.is_dataclass(one)}


@pytest.mark.parametrize(
    ("heading", "name"),
    [(text, one.name) for text, kind in KINDS.items() for one in dataclasses.fields(kind)],
    ids=[f"{kind.__name__}-{e.name}" for kind in KINDS.values() for e in dataclasses.fields(kind)],
)
def test_a_value_of_another_kind_is_one_sentence_or_is_kept_as_it_is(tmp_path, heading, name):
    kind, lines = KINDS[heading], heading.splitlines()
    if lines and lines[-1].startswith(f"{name} ="):
        lines.pop()
    for value in WRONG:
        kept, sentence = loaded(write(tmp_path, "\n".join([*lines, f"{name} = {value}"])))
        if kept is None:
            assert "\n" not in sentence
            assert "audit.toml" in sentence or value == '"x"'
            continue
        assert value not in ("nan", "inf", "-inf", "1e400", f"{10**30}")
        said = next(getattr(one, name) for one in all_settings(kept) if type(one) is kind)
        said = list(said) if isinstance(said, tuple) else said
        assert type(said) is not bool or value == "true"
        if not isinstance(said, list) and not dataclasses.is_dataclass(said):
            assert said == tomllib.loads(f"x = {value}")["x"]


def loaded(path):
    """The settings, or why there are none."""
    try:
        return load_config(path), ""
    except UserError as error:
        return None, str(error)


def all_settings(value):
    """It and all inside it."""
    if isinstance(value, tuple):
        return [inner for one in value for inner in all_settings(one)]
    if not dataclasses.is_dataclass(value):
        return []
    fields = [getattr(value, one.name) for one in dataclasses.fields(value)]
    return [value, *(inner for one in fields for inner in all_settings(one))]


@pytest.mark.parametrize(
    "text",
    [
        f"limit = {'1' * 5000}",
        f"limit = 0x{'f' * 5000}",
        f"pairs = {'[' * 5000}{']' * 5000}",
    ],
    ids=["digits", "hexadecimal", "lists"],
)
def test_a_file_that_is_no_toml_of_any_size_is_one_sentence(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["stopping", "workers", "text_model"])
def test_a_flag_laid_over_what_is_no_table_is_one_sentence(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"\[{name}\] must be a table of settings, not 3"):
        load_config(write(tmp_path, f"{name} = 3"), **{name: {"rule": "fixed"}})


def test_a_long_value_is_not_repeated_whole(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, f"limit = '{'x' * 40_000}'"))
    assert len(str(caught.value)) < 400


def test_a_run_kept_before_a_gpu_apart_could_be_left_open_is_read_as_it_was():
    config = '{"models": [{"name": "m"}], "checkers": [{"kind": "c"}], "pairs": ["p"], "workers": '
    config += '{"apart": [{"name": "c", "count": 1, "gpus": 1.0, "memory": 0.0}]}}'
    run = Run("1", "2026-01-01", "lcmis audit", config, "{}", "", "cpu")
    assert settings_of(run).workers.apart == (ApartSettings("c", gpus=1.0),)
