"""The contract of image models."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from lcmis.errors import RenderError
from lcmis.plugins.optional import manners_of
from lcmis.plugins.protocols import ImageModel
from lcmis.types import Beside, Stage, StageManner

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.types import RenderSpec


class ImageModelContract:
    """What every image model must pass: subclass, and say how yours is made.

    ::

        class TestMine(ImageModelContract):
            def make(self):
                return MyModel(ModelSettings("mine", height=64, width=64, num_inference_steps=2))

    Small sizes and few steps keep it short; about forty pictures are drawn.
    """

    prompts: Sequence[str] = ("a tea cup of iced coke", "two dogs on a boat")
    """Two that it can draw; name others where it draws only what it has."""
    seeds: Sequence[int] = (0, 1, 2)
    too_long: str | None = "a tea cup of iced coke " * 200
    """What it cannot read; None where it takes prompts of any length."""

    def make(self) -> ImageModel:
        """Yours, made anew at every call, always with the same settings."""
        raise NotImplementedError("say how your model is made: write make() in your test class")

    def undrawable(self, model: ImageModel) -> RenderSpec | None:
        """A spec that the model takes and cannot draw, or will not; None where you know of none."""
        return None

    def test_it_offers_what_an_image_model_offers(self) -> None:
        """Id, flags and batch shape are there before anything is loaded."""
        model = self.make()
        assert isinstance(model, ImageModel)
        name, at, revision = model.model_id.partition("@")
        assert name
        assert at
        assert revision, "without a revision nobody knows which weights drew a picture"
        assert model.batch_size >= 1

    def test_to_make_it_is_light(self) -> None:
        """A plan, or an audit with nothing left to do, loads no weights: no torch is imported."""
        with _without_torch():
            model = self.make()
        module = type(model).__module__
        told = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=told, capture_output=True, text=True
        )
        assert done.returncode == 0 or "No module named" in done.stderr, f"{module} imports torch"

    def test_a_spec_is_named_by_all_that_decides_its_picture(self) -> None:
        """The same settings give the same keys again; another prompt or seed another one."""
        model = self.make()
        asked = self._specs(model)
        assert [spec.key for spec in self._specs(self.make())] == [spec.key for spec in asked]
        assert len({spec.key for spec in asked}) == len(self.prompts) * len(self.seeds)
        assert {spec.model for spec in asked} == {model.model_id}
        assert [spec.seed for spec in asked[: len(self.seeds)]] == list(self.seeds)

    def test_it_draws_every_spec_in_order(self) -> None:
        """RGB pictures of the sizes that the specs say; no specs are no pictures."""
        model = self.make()
        asked = self._specs(model)
        for spec, picture in zip(asked, _drawn(model, asked), strict=True):
            assert picture.mode == "RGB"
            assert picture.size == (spec.width, spec.height)
        assert model.generate([]) == []

    def test_a_picture_depends_on_its_spec_alone(self) -> None:
        """Alone, among others, or in another place: bit by bit the same, if there are seeds.

        That holds for batches that are not full, too: what is padded is not seen.
        """
        model = self.make()
        asked = self._specs(model)
        if not model.supports_seeds:
            return
        together = [picture.tobytes() for picture in _drawn(model, asked)]
        backwards = [picture.tobytes() for picture in _drawn(model, asked[::-1])][::-1]
        again = self.make()
        alone = [_drawn(again, [spec])[0].tobytes() for spec in asked]
        assert together == backwards
        assert together == alone
        assert len(set(together)) > 1, "all pictures are the same, whatever is asked for"

    def test_a_prompt_that_is_too_long_is_refused(self) -> None:
        """It is not cut: what the model does not read is not what was asked."""
        if self.too_long is not None:
            _assert_refused(self.make(), (Stage(self.too_long),))

    def test_stages_are_drawn_or_refused(self) -> None:
        """A model that cannot switch says so before it draws; one that can draws otherwise."""
        model, (first, second, *_) = self.make(), self.prompts
        stages = (Stage(first, 0.5), Stage(second))
        if not model.supports_stages:
            _assert_refused(model, stages)
            return
        spec, plain = model.spec(stages, self.seeds[0]), model.spec(stages[1:], self.seeds[0])
        assert spec.stages == stages
        assert spec.key != plain.key
        switched, unswitched = _drawn(model, [spec, plain])
        assert switched.tobytes() != unswitched.tobytes(), "the first stage changes nothing"

    def test_a_negative_prompt_of_a_picture_of_its_own_changes_it(self) -> None:
        """Where the model says that it takes one."""
        model = self.make()
        if not getattr(model, "takes_negative_prompts", False):
            return
        plain = self._specs(model)[0]
        steered = dataclasses.replace(plain, negative_prompt=self.prompts[1])
        without, with_one = _drawn(model, [plain, steered])
        assert without.tobytes() != with_one.tobytes(), "it takes negative prompts to no effect"

    def test_prompts_that_it_follows_at_once_are_a_picture_of_their_own(self) -> None:
        """Where the model says that it follows several."""
        model, (first, second, *_) = self.make(), self.prompts
        if StageManner.TOGETHER not in manners_of(model):
            return
        stages = (Stage(first, beside=(Beside(second),)),)
        spec, plain = model.spec(stages, self.seeds[0]), model.spec((Stage(first),), self.seeds[0])
        assert spec.stages == stages
        both, alone = _drawn(model, [spec, plain])
        assert both.tobytes() != alone.tobytes(), "the second prompt changes nothing"

    def test_what_cannot_be_drawn_is_a_value_and_leaves_its_neighbours_alone(self) -> None:
        """A RenderError in its place, not an exception that takes the others with it."""
        model = self.make()
        bad = self.undrawable(model)
        if bad is None:
            return
        whole = self._specs(model)[0]
        before, failed, after = model.generate([whole, bad, whole])
        assert isinstance(failed, RenderError)
        assert str(failed).strip()
        assert not isinstance(before, RenderError)
        assert not isinstance(after, RenderError)
        if model.supports_seeds:
            assert before.tobytes() == after.tobytes() == _drawn(model, [whole])[0].tobytes()

    def test_a_batch_size_that_is_set_counts_from_the_next_spec_on(self) -> None:
        """Specs say it where pictures may depend on it; pictures are drawn in that shape."""
        model = self.make()
        before = self._specs(model)
        model.batch_size = max(1, model.batch_size - 1)
        after = self._specs(model)
        shown = [picture.tobytes() for picture in _drawn(model, after)]
        assert all(picture for picture in shown)
        changed = {one.profile for one in before} != {one.profile for one in after}
        assert changed == ({one.key for one in before} != {one.key for one in after})
        if not changed and model.supports_seeds:
            assert shown == [picture.tobytes() for picture in _drawn(self.make(), before)]

    def _specs(self, model: ImageModel) -> list[RenderSpec]:
        return [
            model.spec((Stage(prompt),), seed) for prompt in self.prompts for seed in self.seeds
        ]


def _drawn(model: ImageModel, specs: Sequence[RenderSpec]) -> list[Image]:
    found = model.generate(specs)
    assert isinstance(found, list)
    pictures = [one for one in found if not isinstance(one, RenderError)]
    assert len(pictures) == len(specs), [str(one) for one in found if isinstance(one, RenderError)]
    return pictures


def _assert_refused(model: ImageModel, stages: tuple[Stage, ...]) -> None:
    with pytest.raises(RenderError, match=r"\S"):
        model.spec(stages, 0)


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
    """Whoever imports torch meanwhile fails, also where it has been imported before."""
    kept = sys.modules.get("torch")
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
        if kept is not None:
            sys.modules["torch"] = kept
