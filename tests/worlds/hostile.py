"""Texts by people who mean harm: for terminals, browsers, spreadsheets, scripts and parsers."""

from __future__ import annotations

import json
import random

from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import (
    Answer,
    Concept,
    ConceptPair,
    Failure,
    Intruder,
    Render,
    Run,
    Score,
    Side,
)
from worlds.small_store import BROAD, JUDGE, SETTINGS, make_picture, make_spec, questions_of

PIECES = (
    # terminals
    "\x1b[31m",
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b31m",
    "\x07",
    "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\r",
    "\x08\x08\x08",
    "\x7f",
    "\x85",
    "\u202egnp.exe",
    "\u2066hidden\u2069",
    "\u200b",
    "\ufeff",
    "\U000e0041\U000e0042",
    "\u2028",
    "[bold red]rich[/]",
    "[link=http://evil.example]here[/link]",
    "[/",
    "\\[",
    ":boom:",
    # browsers
    "<script>fetch('//evil.example')</script>",
    "<img src=//evil.example/x.png onerror=alert(1)>",
    "</style></title><svg onload=alert(1)>",
    "![x](http://evil.example/x.png)",
    "</textarea>",
    "[y](javascript:alert(1))",
    "<http://evil.example>",
    "http://evil.example/a",
    "www.evil.example",
    "me@evil.example",
    "&lt;b&gt;",
    "&#x3c;i&#x3e;",
    "$\\href{http://evil.example}{x}$",
    ":material/delete:",
    ":red[x]",
    "`code`",
    "# head",
    "- [ ] task",
    "| a | b |",
    "---",
    "{{ 7*7 }}",
    "{% raw %}",
    "[^1]",
    "~~no~~",
    "==mark==",
    "data:text/html,x",
    "url(//evil.example)",
    # spreadsheets, scripts, parsers
    '=HYPERLINK("http://evil.example")',
    "+1+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    '"',
    "'",
    '"""',
    "\\",
    "$(touch /tmp/evil)",
    "`touch evil`",
    "; rm -rf .",
    "%s%n",
    "{0.__class__}",
    "]]>",
    "<!--",
    "-->",
    "<!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "\ufffe",
    "../../etc/passwd",
    "C:\\evil",
    "NUL",
    "//",
    # prompts
    "(red:1.4)",
    "((x))",
    "<lora:x:1>",
    "AND",
    "BREAK",
    "[a|b]",
    "{a|b}",
    "embedding:evil",
    "#",
    # writing systems
    "é",
    "e\u0301",
    "🍵",
    "👩\u200d🍳",
    "中文",
    "عربي",
    "a\u0300\u0301\u0302",
    "ＷＩＤＥ",
    "\u00a0",
)


def texts(number: int, seed: int = 0) -> list[str]:
    """So many different ones, each of one to four pieces among plain words."""
    dice, made = random.Random(seed), {}
    while len(made) < number:
        words = dice.choices(("cup", "tea", "of", "boot"), k=dice.randint(0, 3))
        parts = [*dice.choices(PIECES, k=dice.randint(1, 4)), *words]
        dice.shuffle(parts)
        text = dice.choice(("", " ")).join(parts)
        if text.strip():
            made[f"{text}{len(made)}"] = None
    return list(made)


def fill(store: Store, said: list[str]) -> list[ConceptPair]:
    """A pair a text, the text in every place where one may stand; a picture, answers, failures."""
    pairs, drawn, scores, asked = [], [], [], []
    for number, text in enumerate(said):
        pair = ConceptPair(
            Concept(text, text),
            Concept(f"{text} too", text),
            f"{text} of {text}",
            intruders=(Intruder(Concept(f"{text} instead", text), Side.A, f"an {text}"),),
            pattern=text,
            source=text,
        )
        picture = make_picture(number % 8)
        spec = make_spec(pair, BROAD, number)
        pairs.append(pair)
        drawn.append(
            Drawn(pair.key, spec, Render(spec.key, picture_hash(picture), 0.1, "cpu"), picture)
        )
        present_a, present_b, relation, intruder = questions_of(pair)
        asked += [present_a, present_b, relation, intruder]
        said_of = [(present_a, Answer(0.1)), (present_b, Answer(None, reason=text))]
        said_of += [
            (intruder, Answer(value, option))
            for option, value in zip(intruder.options, (0.1, 0.8, 0.1), strict=True)
        ]
        scores += [Score(spec.key, JUDGE, one.key, answer) for one, answer in said_of]
        store.add_failure(Failure(f"k1:{number:04x}", "render", text, "2026-11-21T02:01:00Z"))
    settings, versions = json.dumps(SETTINGS), json.dumps({"lcmis": "0.1.0"})
    store.add_run(
        Run("r1", "2026-11-21T02:00:00Z", "lcmis audit", settings, versions, "67a3", "cpu")
    )
    store.add_pairs(pairs)
    store.add_renders(drawn)
    store.add_scores(scores, asked)
    return pairs
