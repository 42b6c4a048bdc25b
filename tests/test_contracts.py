"""The contracts that authors of plugins subclass, kept by all of lcmis's own classes."""

import csv
import dataclasses

import pytest
import torch
from PIL import Image
from pydantic import SecretStr
from test_hosted import Server, picture
from test_llm import Server as ChatServer
from test_llm import chat
from worlds import tiny_pipelines, toy_inversion
from worlds.toys import ToyModel, ToyWriter

from lcmis.errors import InversionError, RenderError, TextModelError
from lcmis.invert.e2t.network import save
from lcmis.invert.e2t.reading import FrozenReader
from lcmis.invert.e2t.training import Lesson, shuffled, teach
from lcmis.invert.e2t.writer import EmbeddingToText
from lcmis.plugins import optional, registry
from lcmis.plugins.opening import open_inverter, open_repairer
from lcmis.plugins.protocols import Tools, Work
from lcmis.plugins.settings import HostedSettings, ModelSettings, TextModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.folder import FolderModel
from lcmis.render.hosted import HostedModel
from lcmis.teacup.pairs import pairs as teacup_pairs
from lcmis.testing import (
    Desk,
    ImageModelContract,
    InverterContract,
    LanguageModelContract,
    RepairerContract,
    TextModelContract,
    WriterContract,
    contract_case,
)
from lcmis.text import asking
from lcmis.text.chat import ChatModel
from lcmis.text.local import LocalModel
from lcmis.types import Stage

# ── image models ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory):
    """Folder of a tiny pipeline, built when first asked for."""
    root = tmp_path_factory.mktemp("pipelines")

    def folder(family):
        path = root / family
        return path if path.exists() else tiny_pipelines.save(family, path)

    return folder


class TestDiffusersModel(ImageModelContract):
    prompts = ("a red cup", "two dogs on a boat")
    seeds = (0, 1)

    @pytest.fixture(params=tiny_pipelines.FAMILIES, autouse=True)
    def _family(self, request, pipelines):
        self.settings = ModelSettings(
            str(pipelines(request.param)),
            device="cpu",
            height=32,
            width=32,
            num_inference_steps=4,
        )

    def make(self):
        return DiffusersModel(self.settings)

    def undrawable(self, model):
        whole = model.spec((Stage("a red cup"),), 0)
        return dataclasses.replace(whole, negative_prompt="a boat " * 400)


class TestFolderModel(ImageModelContract):
    too_long = None

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path
        rows = [("file", "prompt", "seed")]
        for prompt in self.prompts:
            for seed in self.seeds:
                rows.append((f"{len(rows)}.png", prompt, seed))
                Image.new("RGB", (40, 30), (len(rows), 9, 9)).save(tmp_path / rows[-1][0])
        with (tmp_path / "manifest.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    def make(self):
        return FolderModel(ModelSettings(str(self.folder)))

    def undrawable(self, model):
        return dataclasses.replace(
            model.spec((Stage(self.prompts[0]),), 0), stages=(Stage("nobody painted this"),)
        )


class TestHostedModel(ImageModelContract):
    too_long = None

    @pytest.fixture(autouse=True)
    def _server(self):
        self.server = Server([picture()])
        yield
        self.server.stop()

    def make(self):
        hosted = HostedSettings(self.server.endpoint, SecretStr("k"), deadline_seconds=60.0)
        return HostedModel(
            ModelSettings("painter-9", height=32, width=32, batch_size=2, hosted=hosted)
        )


class TestToyModel(ImageModelContract):
    prompts = ("rubine beside azure", "lime beside amber")

    def make(self):
        return ToyModel(ModelSettings("toy", scheduler="right"))


class TestToyModelThatSwitches(TestToyModel):
    prompts = ("rubine", "rubine beside azure")

    def make(self):
        return ToyModel(ModelSettings("toy", scheduler="shy"))


class Forgetful(ToyModel):
    """Breaks one promise after the other; ``settings.negative_prompt`` names which."""

    def spec(self, stages, seed):
        spec = super().spec(stages, seed)
        if self.settings.negative_prompt == "key":
            return dataclasses.replace(spec, profile=f"{id(self)}")
        return spec

    def generate(self, specs):
        drawn = super().generate(specs)
        match self.settings.negative_prompt:
            case "order":
                return drawn[::-1]
            case "length":
                return drawn[:1]
            case "mode":
                return [picture.convert("L") for picture in drawn]
            case "place":
                for place, one in enumerate(drawn):
                    one.putpixel((1, 1), (place, 0, 0))
            case "light":
                return drawn
        return drawn


@pytest.mark.parametrize(
    ("promise", "test"),
    [
        ("key", "test_a_spec_is_named_by_all_that_decides_its_picture"),
        ("order", "test_a_picture_depends_on_its_spec_alone"),
        ("length", "test_it_draws_every_spec_in_order"),
        ("mode", "test_it_draws_every_spec_in_order"),
        ("place", "test_a_picture_depends_on_its_spec_alone"),
    ],
)
def test_a_model_that_breaks_a_promise_is_caught(promise, test):
    class Contract(TestToyModel):
        def make(self):
            return Forgetful(ModelSettings("toy", scheduler="right", negative_prompt=promise))

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def test_a_model_that_imports_torch_as_it_is_made_is_caught():
    class Heavy(ToyModel):
        def __init__(self, settings):
            import torch

            super().__init__(settings)
            self.device = torch.device("cpu")

    class Contract(TestToyModel):
        def make(self):
            return Heavy(ModelSettings("toy", scheduler="right"))

    with pytest.raises(ImportError):
        Contract().test_to_make_it_is_light()
    assert torch.ones(1).item() == 1


# ── text models ──────────────────────────────────────────────────────────────────────────────────

JSON = '{"prompts": ["iced coke in a tea cup"]}'


class TestChatModel(TextModelContract):
    @pytest.fixture(params=[False, True], autouse=True)
    def _server(self, request):
        self.sees = request.param
        self.server = ChatServer([chat(JSON)])
        yield
        self.server.stop()

    def make(self):
        return ChatModel(
            TextModelSettings(
                "openai", "m", self.server.endpoint, SecretStr("k"), sees_images=self.sees
            )
        )


class TestTheMiniatureTextModel(TextModelContract):
    def make(self):
        return registry.load("text_models", "teacup-lm")(TextModelSettings("teacup-lm"))


def test_it_is_a_local_model():
    assert isinstance(TestTheMiniatureTextModel().make(), LocalModel)


class TestToyWriter(TextModelContract):
    messages = ({"role": "user", "content": "rubine beside azure"},)

    def make(self):
        return ToyWriter(TextModelSettings("toy"))

    def test_pictures_are_refused_where_it_sees_none(self):
        """The toy takes all that it is given: no test shows it any."""


class Listens:
    """Remembers how it was asked, and says nothing."""

    model_id, sees_images = "listens@1", True

    def complete(self, messages, images=(), schema=None):
        self.messages, self.schema = messages, schema
        raise TextModelError("it only listens")


class TestPhrasebook(TextModelContract):
    """Asked one of our own questions, the only ones that it knows."""

    @pytest.fixture(autouse=True)
    def _question(self):
        ear = Listens()
        with pytest.raises(TextModelError):
            asking.rewrites(ear, teacup_pairs()[0], 2)
        self.messages, self.schema = ear.messages, ear.schema

    def make(self):
        return registry.load("text_models", "phrasebook")(TextModelSettings("phrasebook"))


# ── language models ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def causal(tmp_path_factory):
    """A folder with a language model that was never trained."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("causal")
    tokenizer = tiny_pipelines.clip_tokenizer()
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class TestCausalLanguageModel(LanguageModelContract):
    @pytest.fixture(autouse=True)
    def _folder(self, causal):
        self.folder = causal

    def make(self):
        return registry.load("language_models", "causal")(str(self.folder), device="cpu")


# ── repairers ────────────────────────────────────────────────────────────────────────────────────


class TestRepairers(RepairerContract):
    @pytest.fixture(params=registry.names("repairers"), autouse=True)
    def _name(self, request):
        self.name = request.param

    def make(self):
        return open_repairer(self.name)


class Greedy:
    repairer_id = "greedy"

    def __init__(self, fault):
        self.fault = fault

    def repair(self, case, evaluate):
        seeds = {"seeds": [1], "goes on": case.seeds[:20]}.get(self.fault, case.seeds[:4])
        said = f"{id(self)}" if self.fault == "chance" else case.pair.prompt
        stages = (Stage(said),) if self.fault != "stages" else (Stage("x", 0.5), Stage(said))
        for _ in range(2):
            try:
                evaluate(stages, seeds=seeds)
            except Exception:
                if self.fault != "goes on":
                    raise


@pytest.mark.parametrize(
    ("fault", "test", "caught"),
    [
        ("seeds", "test_it_asks_for_seeds_of_the_case_alone", ValueError),
        ("goes on", "test_the_end_of_the_budget_ends_it", AssertionError),
        ("chance", "test_the_same_pair_goes_the_same_way_again", AssertionError),
        ("stages", "test_it_does_with_what_a_case_has", AssertionError),
    ],
)
def test_a_repairer_that_breaks_a_promise_is_caught(fault, test, caught):
    class Contract(RepairerContract):
        def make(self):
            return Greedy(fault)

    with pytest.raises(caught):
        getattr(Contract(), test)()


def test_what_the_desk_sees_is_decided_by_candidate_and_seed():
    desk, other = Desk(contract_case()), Desk(contract_case())
    stages = (Stage("iced coke in a tea cup"),)
    assert desk(stages) == other(stages)
    assert len(desk.asked) == 8


# ── inverters and writers ────────────────────────────────────────────────────────────────────────


def test_every_registered_inverter_says_what_it_lacks():
    """The rest of the contract is run where their tools are: test_pez, test_arpo, test_editor.

    An id is the registered name, and says behind it what of the way has changed since.
    """

    def paint(prompt, place):
        return None

    later = {"pez-denoiser": "pez-denoiser-bank"}
    for name in registry.names("inverters"):
        inverter = open_inverter(name)
        assert inverter.inverter_id == later.get(name, name)
        with pytest.raises(InversionError, match=r"\S+ \S+ \S+ \S+"):
            list(inverter.invert(toy_inversion.REFERENCE, Tools(paint)))


class TestTheToyThatErrs(InverterContract):
    def make(self):
        return toy_inversion.Knows()

    def equip(self):
        return Tools(lambda prompt, place: None)

    def test_without_its_tools_it_says_what_is_missing(self):
        """It needs none."""


@pytest.fixture(scope="module")
def tiny_writer(tmp_path_factory, pipelines):
    texts = ["a red cup, on a table", "two blue cats", "the old house", "a dog with a hat"]
    lesson = Lesson(steps=20, batch_size=8, noise=0.0, width=32, layers=1, vocabulary=400)
    folder = tmp_path_factory.mktemp("writer") / "tiny-writer"
    reader = FrozenReader(str(pipelines("sd")))
    save(*teach(reader, shuffled(texts, 0), lesson, lambda step, loss: None), folder)
    return EmbeddingToText(str(folder)), reader.read(texts)


class TestEmbeddingToText(WriterContract):
    @pytest.fixture
    def writer(self, tiny_writer):
        return tiny_writer[0]

    @pytest.fixture
    def embeddings(self, tiny_writer):
        return tiny_writer[1]


def test_a_contract_says_what_its_author_must_write():
    for contract in (
        ImageModelContract,
        TextModelContract,
        LanguageModelContract,
        RepairerContract,
    ):
        with pytest.raises(NotImplementedError, match=r"write make\(\)"):
            contract().make()


def test_a_refusal_is_a_value_too():
    """A stand-in for services and safety filters, which no contract can provoke."""
    model = ToyModel(ModelSettings("toy", scheduler="refuses"))
    (drawn,) = model.generate([model.spec((Stage("rubine beside azure"),), 0)])
    assert isinstance(drawn, RenderError)


# ── what a model may offer ───────────────────────────────────────────────────────────────────────


def test_what_a_model_does_not_offer_has_a_default():
    class Plain:
        """Has all that a model must have, and nothing else."""

    model = Plain()
    assert optional.price_of(model) is None
    assert optional.spent_by(model) == 0
    assert optional.work_of(model) == Work()
    assert optional.remarks_of(model) == []
    assert not optional.takes_negative_prompts(model)
    assert optional.denoiser_of(model) is None
    assert optional.encoder_of(model) is None
