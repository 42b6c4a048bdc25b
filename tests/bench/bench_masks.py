"""Do the masks of words lie where the world's renderer painted what they name?

Run ``python tests/bench/bench_masks.py --pictures 24``; prints a table of intersection over
union with the truth, means over both concepts of every picture with 95 % intervals.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict

import numpy as np
from scipy.stats import t

from lcmis.invert.masks import mask_of
from lcmis.plugins.settings import ModelSettings
from lcmis.teacup import shipped
from lcmis.teacup.world import FAMILIES, prompt_of, regions, render
from lcmis.text import edits

HALF = 0.5
"""Of the greatest heat: DiffEdit's threshold."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--model", choices=("broad", "narrow"), default="broad")
    options = parser.parse_args()
    model = {"broad": shipped.broad, "narrow": shipped.narrow}[options.model]
    denoiser = model(ModelSettings("", batch_size=1)).denoiser()
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(options.pictures):
        rng = random.Random(number)
        family = list(FAMILIES.values())[number % len(FAMILIES)]
        first = rng.randrange(len(family.first))
        second = (first + number % 2) % len(family.second)
        names = family.first[first].name, family.second[second].name
        state = rng.getstate()
        picture, _, _ = render(family.name, *names, rng)
        rng.setstate(state)
        truths = [np.asarray(mask) > 0 for mask in regions(family.name, *names, rng)]
        prompt = prompt_of(family.name, *names)
        attention = denoiser.attention(picture, prompt)
        without = [edits.without(prompt, name) for name in names]
        influence = denoiser.influence(picture, prompt, without)
        for side, name, truth, changes in zip("AB", names, truths, influence, strict=True):
            looks = sum(attention[word] for word in name.split())
            for way, heat in (("attention", looks), ("difference", changes)):
                mask = mask_of(name, heat.numpy(), picture.size)
                for cut, covered in (
                    ("otsu", mask.covered),
                    ("half", mask.heat >= HALF),
                    ("mean", mask.heat >= mask.heat.mean()),
                ):
                    found[f"{way:12}{cut:8}{side}"].append(_iou(covered, truth))
            box = np.zeros_like(truth)
            box[32:112, 32:96] = True
            found[f"{'middle box':20}{side}"].append(_iou(box, truth))
    for what, values in sorted(found.items()):
        half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
        print(f"{what}  {np.mean(values):.2f} ± {half:.2f}  ({len(values)} pictures)")


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


if __name__ == "__main__":
    main()
