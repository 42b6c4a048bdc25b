"""PEZ and repairs by inversion: prompts that get better, and what happens without the tools."""

import dataclasses
import random

import pytest
import torch
from worlds import tiny_pipelines
from worlds.tiny_checkers import tiny_clip
from worlds.toys import pair

from lcmis.check.clip import ClipChecker
from lcmis.errors import InversionError, ItemError, OutOfBudget
from lcmis.invert.methods.pez import Pez
from lcmis.plugins import registry
from lcmis.plugins.protocols import Case, Tools
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.repair.methods import halve
from lcmis.repair.methods.inversion import ByInversion, candidates
from lcmis.teacup.world import prompt_of, render
from lcmis.testing import InverterContract, contract_pictures
from lcmis.types import FIRST_REPAIR_SEED, Candidate, Seen, Stage, Trial

QUICK = {"num_words": 4, "restarts": 2, "steps": 30, "patience": 15}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")
    return ClipChecker(CheckerSettings("clip", str(folder), device="cpu")).encoder()


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    folder = tiny_pipelines.save("sd", tmp_path_factory.mktemp("sd"))
    return DiffusersModel(ModelSettings(str(folder), device="cpu", height=32, width=32)).denoiser()


def no_paint(prompt, place):
    raise AssertionError("pez paints nothing")


class TestPez(InverterContract):
    @pytest.fixture(params=["encoder", "denoiser", "both"])
    def inverter(self, request):
        return Pez(through=request.param, **(QUICK | {"steps": 4}))

    @pytest.fixture
    def tools(self, encoder, denoiser):
        return Tools(no_paint, encoder=encoder, denoiser=denoiser)


# ── pez ──────────────────────────────────────────────────────────────────────────────────────────


def test_every_prompt_is_nearer_to_the_picture_than_the_one_before(encoder):
    picture = contract_pictures()[0]
    prompts = list(Pez(**QUICK).invert(picture, Tools(no_paint, encoder=encoder)))
    near = (encoder.read(prompts) @ encoder.see([picture])[0]).tolist()
    assert near == sorted(near)
    assert len(near) > 2


def test_gradients_find_more_than_chance_does(encoder):
    picture = contract_pictures()[1]
    goal = encoder.see([picture])[0]
    *_, best = Pez(**QUICK).invert(picture, Tools(no_paint, encoder=encoder))
    dice = random.Random(1)
    rows = range(len(encoder.vocabulary()))
    tried = [encoder.text_of(dice.choices(rows, k=4)) for _ in range(60)]  # as many as pez reads
    assert encoder.read([best])[0] @ goal > (encoder.read(tried) @ goal).max()


def test_another_seed_goes_another_way(encoder):
    first, other = (
        list(Pez(**QUICK).invert(contract_pictures()[0], Tools(no_paint, encoder, seed=seed)))
        for seed in (1, 2**64 - 1)
    )
    assert first != other


def test_it_ends_when_nothing_gets_better(encoder):
    """With a rate of nothing the vectors stay where they are, whatever the steps."""
    still = Pez(steps=10**9, patience=3, restarts=1, learning_rate=0.0)
    assert len(list(still.invert(contract_pictures()[0], Tools(no_paint, encoder=encoder)))) == 1


def test_through_the_denoiser_the_loss_of_the_prompts_falls(denoiser):
    picture = contract_pictures()[0]
    latents = denoiser.latents(picture)
    prompts = Pez("denoiser", **(QUICK | {"steps": 12})).invert(
        picture, Tools(no_paint, denoiser=denoiser)
    )

    def loss(prompt):
        read, dice = denoiser.read(prompt, padded=True), torch.Generator().manual_seed(0)
        return denoiser.loss(latents, read, dice, samples=16).item()

    losses = [loss(prompt) for prompt in prompts]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) > 1


def test_both_guides_meet_in_the_words_that_both_know(encoder, denoiser):
    """One tokenizer has forty times the merges of the other."""
    assert len(encoder.vocabulary()) > 40 * len(denoiser.vocabulary())
    tools = Tools(no_paint, encoder=encoder, denoiser=denoiser)
    prompts = Pez("both", **(QUICK | {"steps": 4})).invert(contract_pictures()[0], tools)
    *_, last = prompts
    rows = [denoiser._words.ids.index(token) for token in denoiser._tokens(last)[1:-1]]
    assert denoiser.text_of(rows).replace(" ", "") == last.replace(" ", "")


def test_ids_tell_the_guides_apart_and_the_bank_from_noise_drawn_anew():
    ids = {Pez(through).inverter_id for through in ("encoder", "denoiser", "both")}
    assert ids == {"pez", "pez-denoiser-bank", "pez-both-bank"}


def test_a_missing_guide_is_named(encoder, denoiser):
    for through, tools, named in (
        ("encoder", Tools(no_paint, denoiser=denoiser), "open_clip"),
        ("denoiser", Tools(no_paint, encoder=encoder), "Stable Diffusion 1, 2, XL or 3"),
        ("both", Tools(no_paint, encoder=encoder), "Stable Diffusion 1, 2, XL or 3"),
    ):
        with pytest.raises(InversionError, match=named):
            next(Pez(through).invert(contract_pictures()[0], tools))
        if tools.denoiser is None:
            tools = dataclasses.replace(tools, no_gradients="its VAE is another: give a FLUX.1")
            with pytest.raises(InversionError, match="image model, but its VAE is another: give a"):
                next(Pez(through).invert(contract_pictures()[0], tools))


def test_a_prompt_of_the_world_is_found_that_fits_its_picture_as_well_as_the_true_one():
    encoder = registry.load("checkers", "teacup-clip")(CheckerSettings("teacup-clip")).encoder()
    picture, _, _ = render("drinks", "tea cup", "iced coke", random.Random(0))
    *_, found = Pez(steps=80, restarts=2).invert(picture, Tools(no_paint, encoder=encoder))
    true = prompt_of("drinks", "tea cup", "iced coke")
    other = prompt_of("drinks", "bowl", "tomato soup")
    best, fair, poor = (encoder.read([found, true, other]) @ encoder.see([picture])[0]).tolist()
    assert best > fair > poor


# ── repairs by inversion ─────────────────────────────────────────────────────────────────────────


CASE = Case(
    pair=pair("rubine", "azure"),
    num_inference_steps=10,
    supports_stages=True,
    supports_negative_prompt=True,
    batch_size=4,
    seeds=range(FIRST_REPAIR_SEED, FIRST_REPAIR_SEED + 64),
    threshold=0.5,
    budget=100,
    a_missing=9,
    b_missing=1,
)


class Desk:
    """An evaluation by formula that hands out given tools and notes what failed."""

    def __init__(self, rates=None, reference=None, tools=None):
        self.rates, self.reference, self.tools = rates or {}, reference, tools
        self.trials, self.failures = [], []

    def together(self, asked):
        trials = [
            Trial("p", "m@1", "toy", "clip:g@1", candidate, tuple(self._seen(candidate, seeds)))
            for candidate, seeds in asked
        ]
        self.trials += trials
        return trials

    def _seen(self, candidate, seeds):
        rate = self.rates.get(candidate.stages[0].prompt, 0.0)
        for seed in seeds:
            score = 0.9 if random.Random(f"{candidate}{seed}").random() < rate else 0.1
            yield Seen(seed, score, 0.9)

    def attempt(self, what, source):
        found = []
        try:
            for one in source():
                found.append(one)
        except OutOfBudget:
            pass
        except ItemError as error:
            self.failures.append(f"{what}: {error}")
        return found

    def equip(self, case):
        return dataclasses.replace(case, reference=self.reference, tools=self.tools)


class Reciter:
    """An inverter that knows its prompts by heart."""

    inverter_id = "reciter"

    def __init__(self, *prompts, then=None):
        self.prompts, self.then = prompts, then

    def invert(self, reference, tools):
        yield from self.prompts
        if self.then is not None:
            raise self.then


def tried(desk):
    counts = {}
    for trial in desk.trials:
        prompt = trial.candidate.stages[0].prompt
        counts[prompt] = counts.get(prompt, 0) + len(trial.seen)
    return counts


PICTURE, TOOLS = contract_pictures()[0], Tools(no_paint)


def test_prompts_compete_and_the_best_gets_the_most_pictures():
    rates = {"one": 0.1, "two": 0.9, "three": 0.2, "four": 0.3}
    desk = Desk(rates, PICTURE, TOOLS)
    ByInversion(Reciter(*rates)).repair(CASE, desk)
    counts = tried(desk)
    assert max(counts, key=counts.get) == "two"
    assert sorted(counts.values()) == [4, 4, 8, 16]


def test_only_the_last_prompts_compete():
    desk = Desk(reference=PICTURE, tools=TOOLS)
    ByInversion(Reciter(*"abcdefgh"), most=3).repair(CASE, desk)
    assert set(tried(desk)) == set("fgh")
    assert desk.trials[0].candidate == Candidate((Stage("h"),)), "the best goes first"


def test_what_was_found_before_a_failure_is_tried_and_the_failure_noted():
    desk = Desk(reference=PICTURE, tools=TOOLS)
    ByInversion(Reciter("a", then=InversionError("the lights went out"))).repair(CASE, desk)
    assert desk.failures == ["reciter: the lights went out"]
    assert set(tried(desk)) == {"a"}


def test_a_missing_tool_is_a_failure_and_nothing_is_drawn():
    desk = Desk(reference=PICTURE, tools=TOOLS)
    registry.load("repairers", "pez")().repair(CASE, desk)
    assert not desk.trials
    (failure,) = desk.failures
    assert "open_clip" in failure


def test_without_a_reference_nothing_is_tried():
    desk = Desk(tools=TOOLS)
    ByInversion(Reciter("a")).repair(CASE, desk)
    assert (desk.trials, desk.failures) == ([], [])
    assert not list(candidates(Reciter("a"), CASE))


def test_halving_gives_the_survivors_as_many_seeds_as_all_rounds_before():
    desk = Desk({"a": 1.0})
    halve([Candidate((Stage(name),)) for name in "abcd"], CASE, desk, 2)
    rounds = [[item.seed - FIRST_REPAIR_SEED for item in trial.seen] for trial in desk.trials]
    assert rounds == [[0, 1]] * 4 + [[2, 3]] * 2 + [[4, 5, 6, 7]]


def test_an_inverter_is_found_by_its_name():
    assert registry.load("inverters", "pez")().inverter_id == "pez"
    assert registry.load("repairers", "pez")().repairer_id == "pez"
    for kind, name in (("inverters", "inverter_id"), ("repairers", "repairer_id")):
        assert getattr(registry.load(kind, "pez-denoiser")(), name) == "pez-denoiser-bank"
