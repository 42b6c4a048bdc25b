"""The full record of one picture: what was asked and answered, and how to paint it again."""

from __future__ import annotations

import boxes
import facts
import looks
import pandas as pd
import shots
import streamlit as st
from looks import plain

from lcmis.errors import UnknownNameError
from lcmis.findings import tell
from lcmis.findings.words import percent
from lcmis.types import ConceptPair, Render, RenderSpec, Verdict


def main() -> None:
    """Draw the page."""
    wanted = st.query_params.get("picture")
    if not wanted:
        raise UnknownNameError("this address names no picture: choose one on the page of its pair")
    spec, render = facts.store().render(wanted)
    judged = facts.pictures()
    mine = judged[judged["spec_key"] == render.spec_key]
    pair = _pair(mine)
    _links(pair, judged, mine)
    st.title(plain(spec.prompt))
    left, right = st.columns([3, 5], gap="large")
    with left:
        boxes.shot(render, facts.store().scores(render.spec_key), alt=spec.prompt)
        st.caption("To paint it again and compare:")
        st.code(f"lcmis replay {render.spec_key}", language=None, wrap_lines=True)
        if not render.refusal and not mine.empty:
            st.page_link(
                "views/similar.py",
                label="Pictures like it",
                icon=":material/scatter_plot:",
                query_params=facts.address(picture=render.spec_key),
            )
    with right:
        if not mine.empty and pair:
            st.markdown(looks.verdict_badge(Verdict(mine["verdict"].iloc[0]), pair))
        if not render.refusal:  # nobody can look at what was not painted
            st.header("What the checkers say")
            shots.answers(facts.store().scores(render.spec_key), pair)
            _asked(render, pair)
        st.header("How it was painted")
        _recipe(spec, render)


def _pair(mine: pd.DataFrame) -> ConceptPair | None:
    """The pair that the address names, else the first that has this picture."""
    wanted = st.query_params.get("pair")
    if wanted:
        return facts.store().pair(wanted)
    return None if mine.empty else facts.pairs()[str(mine["pair_key"].iloc[0])]


def _links(pair: ConceptPair | None, judged: pd.DataFrame, mine: pd.DataFrame) -> None:
    """Back to the pair, and to the pictures before and after under the same model."""
    if pair is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            "views/pair.py",
            label=plain(pair.prompt),
            icon=":material/arrow_back:",
            query_params=facts.address(pair=pair.key),
            width="content",
        )
        here = mine[mine["pair_key"] == pair.key]
        if here.empty:
            return
        series = judged[
            (judged["pair_key"] == pair.key) & (judged["model"] == here["model"].iloc[0])
        ]
        keys = list(series["spec_key"])
        place = keys.index(here["spec_key"].iloc[0])
        for label, icon, key, other in (
            ("Before", ":material/chevron_left:", "k", place - 1),
            ("After", ":material/chevron_right:", "j", place + 1),
        ):
            there = 0 <= other < len(keys)
            if st.button(label, icon=icon, type="tertiary", shortcut=key, disabled=not there):
                st.switch_page(
                    "views/picture.py",
                    query_params=facts.address(pair=pair.key, picture=keys[other]),
                )


def _asked(render: Render, pair: ConceptPair | None) -> None:
    """Any answer, opened to what was asked and what was said."""
    if told := tell(facts.store(), render):
        st.subheader("What each was asked, and what it said")
        shots.asked_and_said(told, pair)


def _recipe(spec: RenderSpec, render: Render) -> None:
    """All that decided the pixels, and what stands beside."""
    rows = [
        ("Model", spec.model),
        *(
            (f"Prompt until {percent(stage.denoising_end)} % of the steps", stage.said)
            if len(spec.stages) > 1
            else ("Prompt", stage.said)
            for stage in spec.stages
        ),
        ("Negative prompt", spec.negative_prompt),
        ("Seed", str(spec.seed)),
        ("Steps", str(spec.num_inference_steps)),
        ("Guidance", f"{spec.guidance_scale:g}"),
        ("Scheduler", spec.scheduler),
        ("Size", f"{spec.width} × {spec.height}"),
        ("Numerics profile", spec.profile),
        *(("Adapter", f"{adapter.name} at {adapter.weight:g}") for adapter in spec.adapters),
        *(("Word", f"{word.token} from {word.name}") for word in spec.embeddings),
        ("VAE", spec.vae),
        ("Base of the file", spec.base),
        ("Variant", spec.variant),
        ("Device", render.device),
        ("Seconds", f"{render.seconds:.2f}"),
        ("SHA-256 of the pixels", render.sha256),
        ("Key", render.spec_key),
    ]
    table = pd.DataFrame([row for row in rows if row[1]], columns=["What", "Value"])
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={"Value": st.column_config.TextColumn(width="large")},
    )


main()
