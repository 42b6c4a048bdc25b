"""The miniature world's models: the oracle, the shipped pipelines, and a tiny training of each."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lcmis.machine.paths import shipped
from lcmis.plugins.settings import ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.teacup.captions import BALANCED, BROAD
from lcmis.teacup.diffusion import (
    add_noise,
    build_tokenizer,
    drop_captions,
    load_pipeline,
    token_ids,
)
from lcmis.teacup.examples import draw_examples
from lcmis.teacup.measure import Pair, PairOutcome, all_pairs, ask, picture_rate, rates_by_grade
from lcmis.teacup.models import GUIDANCE, MODELS
from lcmis.teacup.oracle import Oracle, load_oracle
from lcmis.teacup.painting import ADAPTER, Order, Painter, add_adapter, open_pipeline
from lcmis.teacup.train import TRAINERS, parse, trainer
from lcmis.teacup.train_vae import peak_signal_to_noise
from lcmis.teacup.training import CARD, LOSSES, Average, LearningRate, LossLog, TrainOptions, fit
from lcmis.teacup.world import FAMILIES, prompt_by_looks, prompt_of, render
from lcmis.types import Candidate, Stage

TEACUP = shipped("data") / "teacup"
BIGGEST_FILE = 20 * 2**20


@pytest.fixture(scope="session")
def oracle():
    return load_oracle()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """One tiny model of each kind, each built on the one before."""
    root = tmp_path_factory.mktemp("teacup")
    common = {"pictures": 12, "samples": 8, "batch_size": 4, "tiny": True, "measure_seeds": 0}
    for model, start in (("vae", None), ("oracle", "vae"), ("broad", "vae"), ("narrow", "broad")):
        options = TrainOptions(root / model, start and root / start, **common)
        trainer(model)(options)
    for model in ("partners", "layout", "mixture"):
        trainer(model)(TrainOptions(root / model, root / "broad", **common))
    return root


def load_shipped(name):
    return open_pipeline(name, "cpu")


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────


def test_the_oracle_reads_rendered_pictures(oracle):
    rng = random.Random(2024)
    pairs = all_pairs() + rng.sample(all_pairs(), 64)
    pictures = [render(pair.family, pair.first, pair.second, rng)[0] for pair in pairs]
    readings = oracle.classify(pictures)
    right = [r.shows(pair.first, pair.second) for r, pair in zip(readings, pairs, strict=True)]
    assert sum(right) >= 0.98 * len(right)
    assert all(0 <= r.first_confidence <= 1 and 0 <= r.second_confidence <= 1 for r in readings)


def test_the_oracle_reads_nothing_from_nothing(oracle):
    assert oracle.classify([]) == []


def test_an_oracle_reads_alike_after_it_was_saved(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = Oracle(4).eval()
    before.save(tmp_path / "oracle.safetensors")
    after = load_oracle(tmp_path / "oracle.safetensors")
    picture = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(before(picture), after(picture), strict=True):
            assert torch.allclose(one, other, atol=1e-2)


# ── what is shipped ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_shipped_pipeline_paints_a_usual_pair(name, oracle):
    usual = next(one for one in all_pairs() if one.family == "plants" and one.grade == 0)
    [outcome] = ask(load_shipped(name), oracle, [usual], range(2))
    assert outcome.right == (True, True)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_card_tells_how_good_a_shipped_model_is(name):
    card = json.loads((TEACUP / name / CARD).read_text())
    measured = card["measured"]
    overall = measured["by name, all pairs alike"]
    assert overall["total"] >= 4 * 136
    assert 0 <= overall["low"] <= overall["value"] <= overall["high"] <= 1
    assert measured["by name, usual pairs"]["value"] >= 0.95
    assert {"data", "seed", "steps", "seconds", "device"} <= set(card["training"])
    for family in FAMILIES.values():
        assert len(measured["by name"][family.name]) == len(family.second)


def test_the_broad_model_is_mostly_right():
    measured = json.loads((TEACUP / "teacup-broad" / CARD).read_text())["measured"]
    assert measured["by name, all pairs alike"]["value"] >= 0.93


def test_the_narrow_model_fails_by_name_and_can_be_helped_by_looks():
    measured = json.loads((TEACUP / "teacup-narrow" / CARD).read_text())["measured"]
    never = measured["pairs never named together that fail in more than half of their pictures"]
    assert never["value"] >= 1 / 3
    assert 0.5 <= measured["pairs that fail, by looks alone"]["value"] <= 0.8


def test_words_do_not_free_the_layout_model_and_the_lost_concept_first_does(oracle):
    measured = json.loads((TEACUP / "teacup-layout" / CARD).read_text())["measured"]
    assert len(measured["failing pairs"]) > 40
    assert measured["pairs that fail, by looks alone"]["high"] < 0.2
    pair = next(one for one in all_pairs() if str(one) == "a cactus in a vase")
    looks = prompt_by_looks(pair.family, pair.first, pair.second)
    ways = [(Stage(str(pair)),), (Stage(looks),), (Stage("a vase", 0.15), Stage(str(pair)))]
    painter = Painter(load_shipped("teacup-layout"), MODELS["teacup-layout"].num_steps)
    orders = [Order(Candidate(stages), seed) for stages in ways for seed in (1, 2)]
    right = [one.shows(pair.first, pair.second) for one in painter.read(orders, oracle)]
    assert right == [False, False, False, False, True, True]


def test_the_oracles_card_says_how_well_it_reads():
    measured = json.loads((TEACUP / "oracle.json").read_text())["measured"]
    assert measured["rendered pictures"]["total"] >= 2000
    assert measured["rendered pictures"]["value"] >= 0.995


def test_no_shipped_file_is_too_big_for_git_or_needs_a_pickle():
    files = [path for name in MODELS for path in (TEACUP / name).rglob("*") if path.is_file()]
    assert all(path.stat().st_size < BIGGEST_FILE for path in files)
    assert {path.suffix for path in files} <= {".json", ".md", ".safetensors"}


# ── training ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["vae", "broad", "narrow", "partners", "layout", "mixture"])
def test_a_tiny_training_writes_its_card_and_its_losses(trained, model):
    card = json.loads((trained / model / CARD).read_text())
    assert {"title", "summary", "training", "measured"} == set(card)
    assert (trained / model / "README.md").read_text().startswith(f"# teacup-{model}")
    lines = [json.loads(line) for line in (trained / model / LOSSES).read_text().splitlines()]
    assert lines
    assert all({"phase", "step", "seconds"} < set(line) for line in lines)


def test_a_tiny_oracle_is_written_with_what_it_gets_right(trained):
    card = json.loads((trained / "oracle" / "oracle.json").read_text())
    assert card["measured"]["rendered pictures"]["total"] == 32
    assert load_oracle(trained / "oracle" / "oracle.safetensors")


@pytest.mark.parametrize("model", ["broad", "narrow"])
def test_a_trained_pipeline_loads_and_paints(trained, model):
    pipeline = load_pipeline(trained / model, "cpu")
    output = pipeline("a cat", num_inference_steps=2, height=128, width=128)
    assert output.images[0].size == (128, 128)
    assert pipeline.scheduler.config.steps_offset == 1


@pytest.mark.parametrize(
    ("model", "parts"), [("partners", {"unet", "text_encoder"}), ("layout", {"unet"})]
)
def test_a_trained_adapter_holds_low_ranks_alone_and_changes_what_its_base_paints(
    trained, model, parts
):
    def painted(pipeline):
        (pixels,) = Painter(pipeline, 2).paint([Order(Candidate((Stage("a cat"),)), 3)])
        return pixels

    names = load_file(trained / model / ADAPTER)
    assert all(".lora_" in name for name in names)
    assert {name.partition(".")[0] for name in names} == parts
    base, damaged = (load_pipeline(trained / "broad", "cpu") for _ in range(2))
    add_adapter(damaged, trained / model)
    assert not torch.equal(painted(base), painted(damaged))


def test_a_painter_paints_what_the_engine_paints():
    staged = Candidate((Stage("a tea cup", 0.5), Stage("a tea cup of milk")), "a glass")
    model = DiffusersModel(
        ModelSettings(
            str(TEACUP / "teacup-broad"),
            device="cpu",
            num_inference_steps=4,
            guidance_scale=GUIDANCE,
            negative_prompt=staged.negative_prompt,
            batch_size=1,
        )
    )
    (picture,) = model.generate([model.spec(staged.stages, 7)])
    (pixels,) = Painter(load_shipped("teacup-broad"), 4).paint([Order(staged, 7)])
    engines = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
    assert (pixels[0].int() - engines.int()).abs().max() <= 1


def test_a_saved_pipeline_does_not_tell_where_it_came_from(trained):
    for path in (trained / "narrow").rglob("config.json"):
        assert str(trained) not in path.read_text()


def test_narrow_keeps_the_autoencoder_and_changes_the_words(trained):
    def weights(model, part, name):
        return (trained / model / part / name).read_bytes()

    vae = ("vae", "diffusion_pytorch_model.safetensors")
    words = ("text_encoder", "model.safetensors")
    assert weights("narrow", *vae) == weights("broad", *vae)
    assert weights("narrow", *words) != weights("broad", *words)


def test_broad_says_what_it_needs(tmp_path):
    with pytest.raises(ValueError, match="--start"):
        trainer("broad")(TrainOptions(tmp_path))


@pytest.mark.parametrize("model", ["vae", "broad", "narrow", "oracle"])
def test_every_registered_trainer_can_be_called(model):
    assert callable(trainer(model))


def test_the_command_line_becomes_options(tmp_path):
    model, options = parse(["narrow", "--out", str(tmp_path), "--device", "cpu", "--seed", "3"])
    assert model == "narrow"
    assert options == TrainOptions(tmp_path, device="cpu", seed=3)


def test_the_command_line_refuses_unknown_models(tmp_path):
    with pytest.raises(SystemExit):
        parse(["unicorn", "--out", str(tmp_path)])
    assert "unicorn" not in TRAINERS


def test_fitting_finds_the_least_square(tmp_path):
    point = torch.nn.Parameter(torch.tensor([4.0, -3.0]))
    goal = torch.tensor([1.0, 2.0])
    fit(
        [LearningRate([point], 0.1)],
        lambda _step: {"distance": (point - goal).square().sum()},
        steps=300,
        log=LossLog(tmp_path),
        phase="toy",
        weight_decay=0,
    )
    assert torch.allclose(point, goal, atol=0.05)


def test_fitting_stops_at_a_loss_that_is_no_number(tmp_path):
    point = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(FloatingPointError, match="step 0"):
        fit(
            [LearningRate([point], 0.1)],
            lambda _step: {"broken": point.sum() / 0 * 0},
            steps=1,
            log=LossLog(tmp_path),
            phase="toy",
        )


def test_an_average_lags_behind_its_parameters():
    point = torch.nn.Parameter(torch.zeros(1))
    average = Average([point], decay=0.5)
    for value in (1.0, 2.0, 3.0):
        point.data.fill_(value)
        average.update()
    average.apply()
    assert 1.0 < point.item() < 3.0


# ── the parts of diffusion ───────────────────────────────────────────────────────────────────────


def test_noise_grows_with_the_timestep():
    latents = torch.randn(16, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = add_noise(latents, torch.Generator().manual_seed(1), "cpu")
    changed = (batch.noisy - latents).square().mean((1, 2, 3))
    order = batch.timesteps.argsort()
    assert changed[order[0]] < changed[order[-1]]


def test_noisy_latent_and_velocity_are_latent_and_noise_turned():
    latents = torch.randn(16, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = add_noise(latents, torch.Generator().manual_seed(1), "cpu")
    power = (batch.noisy.square() + batch.velocity.square()).mean((1, 2, 3))
    assert torch.allclose(power, torch.full_like(power, 2.0), atol=0.2)


def test_skewed_timesteps_start_late():
    latents = torch.zeros(256, 8, 1, 1)
    batch = add_noise(latents, torch.Generator().manual_seed(1), "cpu", lowest=450, skewed=1.0)
    assert int(batch.timesteps.min()) >= 450
    assert 960 < int(batch.timesteps.max()) <= 999
    below = add_noise(latents, torch.Generator().manual_seed(1), "cpu", end=450)
    assert 0 <= int(below.timesteps.min()) < 40
    assert 410 < int(below.timesteps.max()) < 450


def test_captions_are_dropped_in_the_share_asked_for():
    ids, empty = torch.ones(1000, 40, dtype=torch.long), torch.zeros(1, 40, dtype=torch.long)
    kept = drop_captions(ids, empty, 0.1, torch.Generator().manual_seed(0))[:, 0]
    assert kept.float().mean().item() == pytest.approx(0.9, abs=0.03)


def test_a_tokenizer_splits_words_and_pads():
    tokenizer = build_tokenizer(["a tea cup of iced coke", "a cat wearing a crown"] * 20)
    ids = token_ids(tokenizer, ["a tea cup", "a tea cup of iced coke"])
    assert ids.shape == (2, 40)
    assert ids[0, 0] == tokenizer.bos_token_id
    assert ids[0, -1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == "a tea cup"


def test_equal_seeds_draw_equal_examples_however_many_processes():
    one = draw_examples(BROAD, 501, seed=1, num_captions=1)
    other = draw_examples(BROAD, 501, seed=1, num_captions=1, processes=2)
    assert torch.equal(one.pixels, other.pixels)
    assert (one.captions, one.scenes) == (other.captions, other.scenes)


def test_the_shipped_autoencoder_keeps_pictures_crisp():
    vae = load_shipped("teacup-broad").vae
    assert peak_signal_to_noise(vae, draw_examples(BALANCED, 8, seed=3), "cpu") > 29


# ── measuring ────────────────────────────────────────────────────────────────────────────────────


def test_a_pair_fails_when_more_than_half_of_its_pictures_are_wrong():
    pair = all_pairs()[0]
    assert not PairOutcome(pair, (True, True, False, False)).fails
    assert PairOutcome(pair, (True, False, False, False)).fails


def test_rates_by_grade_count_every_picture_once():
    outcomes = [PairOutcome(pair, (pair.grade == 0,) * 2) for pair in all_pairs()]
    table = rates_by_grade(outcomes)
    assert sum(rate["total"] for family in table.values() for rate in family.values()) == 272
    assert all(family["grade 0"]["value"] == 1 for family in table.values())
    assert all(family["grade 3"]["value"] == 0 for family in table.values())
    assert picture_rate(outcomes).total == 272


def test_a_pair_reads_as_its_prompt():
    assert str(Pair("drinks", "tea cup", "milk", 4)) == prompt_of("drinks", "tea cup", "milk")
