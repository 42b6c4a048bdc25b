from pathlib import Path

import pytest

from lcmis.audit.config import checker_settings, load_config, model_settings
from lcmis.errors import ConfigError
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.types import Adapter


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
