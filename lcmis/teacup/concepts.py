"""What exists in the miniature world: forty concepts in three families, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lcmis.teacup.draw import (
    GLASS,
    GLASS_EDGE,
    Anchor,
    Arc,
    Bubbles,
    Colour,
    Content,
    Dome,
    Ellipse,
    FloatingLeaves,
    Flowers,
    Fronds,
    GlassVessel,
    IceCubes,
    Layer,
    Line,
    Point,
    Polygon,
    Shape,
    Steam,
    darken,
    drink_anchors,
    lighten,
    mirrored,
    spread,
)

BASE = "base"
"""The anchor every concept has: where it stands."""


@dataclass(frozen=True)
class WorldConcept:
    """Something that can be drawn, called by names, and described without them."""

    name: str
    synonyms: tuple[str, ...]
    description: str
    """How it looks, naming neither itself nor a synonym."""
    front: tuple[Layer, ...]
    """Painted after all that lies behind."""
    behind: tuple[Layer, ...] = ()
    """Painted before the front of either concept."""
    anchors: Mapping[str, Anchor] = field(default_factory=dict)
    """Where a partner is attached (first concepts of a family)."""
    content: Colour = (0, 0, 0)
    """What a vessel shows of it (drinks)."""
    without_article: tuple[str, ...] = ()
    """Names that take no "a": masses and plurals."""


@dataclass(frozen=True)
class Family:
    """Concepts that can be combined: any first with any second."""

    name: str
    template: str
    """The prompt, with ``{a}`` for the first and ``{b}`` for the second concept."""
    first: tuple[WorldConcept, ...]
    second: tuple[WorldConcept, ...]


def _front(*shapes: Shape) -> tuple[Layer, ...]:
    return (Layer(BASE, shapes),)


def _at(anchor: str, *shapes: Shape) -> Layer:
    return Layer(anchor, shapes)


# ── drinks ───────────────────────────────────────────────────────────────────────────────────────


def _opaque_surface(y: float, radius: float, rim: Colour) -> tuple[Shape, ...]:
    return (
        Ellipse(0, y, radius, radius * 0.32, rim, darken(rim, 0.3)),
        Ellipse(0, y - 0.012, radius * 0.88, radius * 0.26, Content(), Content(darker=0.2)),
    )


def _opaque_anchors(y: float, radius: float) -> dict[str, Anchor]:
    return drink_anchors(y - 0.012, radius * 0.88, radius * 0.26, y, radius)


PORCELAIN: Colour = (246, 246, 248)
PORCELAIN_EDGE: Colour = (150, 156, 170)
MUG_BLUE: Colour = (62, 104, 184)
WOOD: Colour = (150, 98, 54)

CONTAINERS = (
    WorldConcept(
        "tea cup",
        ("teacup", "porcelain tea cup"),
        "a small wide white porcelain cup with a handle on a saucer",
        _front(
            Ellipse(0, 0.05, 0.44, 0.075, (232, 232, 236), PORCELAIN_EDGE),
            Ellipse(0, 0.065, 0.26, 0.04, (210, 212, 220)),
            Arc(0.37, 0.3, 0.12, 0.12, -110, 110, (236, 236, 240), 5),
            Polygon(
                mirrored(((0.14, 0.06), (0.2, 0.1), (0.29, 0.22), (0.33, 0.42))),
                PORCELAIN,
                PORCELAIN_EDGE,
            ),
            Line(((-0.305, 0.3), (0.305, 0.3)), (96, 130, 196), 2),
            *_opaque_surface(0.42, 0.33, (252, 252, 252)),
        ),
        anchors=_opaque_anchors(0.42, 0.33),
    ),
    WorldConcept(
        "glass",
        ("drinking glass", "tumbler"),
        "a tall straight clear cup with no handle",
        _front(GlassVessel(((0.22, 0), (0.235, 0.25), (0.26, 0.78)), level=0.62)),
    ),
    WorldConcept(
        "wine glass",
        ("wineglass", "goblet"),
        "a round clear cup on a thin stem",
        _front(
            Ellipse(0, 0.03, 0.17, 0.04, (226, 236, 242, 200), GLASS_EDGE),
            Line(((0, 0.04), (0, 0.36)), GLASS_EDGE, 3),
            GlassVessel(
                ((0.02, 0.34), (0.15, 0.38), (0.23, 0.5), (0.25, 0.64), (0.21, 0.88)), level=0.66
            ),
        ),
    ),
    WorldConcept(
        "mug",
        ("ceramic mug", "big mug"),
        "a straight thick blue cup with a large handle",
        _front(
            Arc(0.31, 0.33, 0.17, 0.19, -100, 100, darken(MUG_BLUE, 0.1), 7),
            Polygon(
                mirrored(((0.27, 0.02), (0.28, 0.1), (0.28, 0.62))),
                MUG_BLUE,
                darken(MUG_BLUE, 0.35),
            ),
            *_opaque_surface(0.62, 0.28, (120, 154, 214)),
        ),
        anchors=_opaque_anchors(0.62, 0.28),
    ),
    WorldConcept(
        "bottle",
        ("glass bottle", "tall bottle"),
        "a tall clear cup with a narrow neck",
        _front(
            GlassVessel(
                ((0.2, 0), (0.21, 0.3), (0.2, 0.55), (0.08, 0.72), (0.075, 0.95)), level=0.5
            )
        ),
    ),
    WorldConcept(
        "jug",
        ("pitcher", "glass pitcher"),
        "a wide clear cup with a spout and a handle",
        _front(
            GlassVessel(
                ((0.27, 0), (0.31, 0.2), (0.29, 0.5), (0.24, 0.66), (0.27, 0.74)),
                level=0.55,
                trim=(
                    Arc(-0.33, 0.42, 0.14, 0.2, 60, 300, GLASS_EDGE, 4),
                    Polygon(((0.22, 0.74), (0.37, 0.79), (0.24, 0.62)), GLASS, GLASS_EDGE),
                ),
            )
        ),
    ),
    WorldConcept(
        "flask",
        ("laboratory flask", "conical flask"),
        "a clear triangular laboratory cup with a short neck",
        _front(GlassVessel(((0.34, 0), (0.33, 0.04), (0.09, 0.56), (0.085, 0.76)), level=0.34)),
    ),
    WorldConcept(
        "bowl",
        ("wooden bowl", "round bowl"),
        "a wide round brown wooden cup",
        _front(
            Polygon(
                mirrored(((0.16, 0), (0.18, 0.03), (0.36, 0.14), (0.46, 0.34))),
                WOOD,
                darken(WOOD, 0.3),
            ),
            Line(((-0.38, 0.17), (0.38, 0.17)), darken(WOOD, 0.18), 1.6),
            *_opaque_surface(0.34, 0.46, (182, 130, 84)),
        ),
        anchors=_opaque_anchors(0.34, 0.46),
    ),
)


def _drink(
    name: str, synonyms: tuple[str, ...], description: str, content: Colour, *layers: Layer
) -> WorldConcept:
    return WorldConcept(
        name,
        synonyms,
        description,
        layers,
        content=content,
        without_article=(name, *synonyms),
    )


def _orange_slice() -> tuple[Shape, ...]:
    spokes = []
    for degrees in range(0, 180, 45):
        x, y = math.cos(math.radians(degrees)) * 0.08, math.sin(math.radians(degrees)) * 0.08
        spokes.append(Line(((-x, 0.06 - y), (x, 0.06 + y)), (250, 150, 20), 1.2))
    return (
        Ellipse(0, 0.06, 0.11, 0.11, (255, 176, 40), (230, 130, 10), 2),
        Ellipse(0, 0.06, 0.085, 0.085, (255, 214, 120)),
        *spokes,
    )


DRINKS = (
    _drink(
        "hot tea",
        ("tea", "amber tea"),
        "an amber hot drink with steam",
        (206, 128, 44),
        _at("rim", Steam()),
    ),
    _drink(
        "iced coke",
        ("coke", "iced cola"),
        "a dark brown drink with ice cubes",
        (58, 26, 18),
        _at("liquid", IceCubes()),
    ),
    _drink("red wine", ("wine", "merlot"), "a dark red drink", (120, 12, 44)),
    _drink(
        "coffee",
        ("black coffee", "hot coffee"),
        "a brown hot drink with a tan foam ring and steam",
        (104, 66, 38),
        _at("liquid", Ellipse(0, 0, 0.95, 0.9, None, (206, 168, 120), 2.6)),
        _at("rim", Steam()),
    ),
    _drink("milk", ("fresh milk", "cold milk"), "a plain white drink", (250, 250, 246)),
    _drink(
        "orange juice",
        ("juice", "fresh orange juice"),
        "an orange drink with an orange slice",
        (255, 160, 24),
        _at("brim", *_orange_slice()),
    ),
    _drink(
        "green potion",
        ("potion", "magic potion"),
        "a bright green drink with floating bubbles",
        (52, 206, 84),
        _at("rim", Bubbles()),
    ),
    _drink(
        "tomato soup",
        ("soup", "hot tomato soup"),
        "a red drink with green leaves",
        (222, 62, 28),
        _at("liquid", FloatingLeaves()),
    ),
)


# ── plants ───────────────────────────────────────────────────────────────────────────────────────

MOUTH = "mouth"
LEAF_GREEN: Colour = (70, 150, 64)
STEM_GREEN: Colour = (40, 104, 44)
WICKER: Colour = (156, 116, 62)
TIN_RING: Colour = (110, 116, 126)
RUBBER: Colour = (244, 200, 40)
PINK: Colour = (236, 150, 176)


def _mouth(rim_y: float, x: float = 0.0) -> dict[str, Anchor]:
    return {MOUTH: Anchor(x, rim_y - 0.04)}


VESSELS = (
    WorldConcept(
        "vase",
        ("porcelain vase", "tall vase"),
        "a tall curved white pot with blue bands",
        _front(
            Polygon(
                mirrored(((0.12, 0), (0.2, 0.1), (0.22, 0.22), (0.13, 0.4), (0.15, 0.5))),
                (240, 240, 246),
                (140, 146, 170),
            ),
            *(
                Line(((-width, y), (width, y)), (60, 96, 190), 3)
                for y, width in ((0.12, 0.205), (0.28, 0.19))
            ),
        ),
        anchors=_mouth(0.5),
    ),
    WorldConcept(
        "flower pot",
        ("clay pot", "terracotta pot"),
        "an orange pot of clay with a rim",
        _front(
            Polygon(mirrored(((0.17, 0), (0.23, 0.3))), (206, 112, 62), (140, 70, 36)),
            Polygon(mirrored(((0.27, 0.3), (0.27, 0.4))), (222, 130, 78), (140, 70, 36)),
        ),
        anchors=_mouth(0.4),
    ),
    WorldConcept(
        "basket",
        ("wicker basket", "woven basket"),
        "a tan woven box with an arched handle",
        _front(
            Polygon(mirrored(((0.24, 0), (0.31, 0.34))), (204, 164, 102), (136, 98, 48)),
            *(
                Line(((-0.24 - 0.07 * y / 0.34, y), (0.24 + 0.07 * y / 0.34, y)), WICKER, 1.6)
                for y in spread(0.05, 0.3, 5)
            ),
            *(Line(((x, 0.02), (x * 1.25, 0.33)), WICKER, 1.2) for x in spread(-0.2, 0.2, 6)),
        ),
        behind=_front(Arc(0, 0.32, 0.3, 0.36, 180, 360, (176, 132, 74), 5)),
        anchors=_mouth(0.34),
    ),
    WorldConcept(
        "bucket",
        ("tin bucket", "metal bucket"),
        "a grey metal pot with rings",
        _front(
            Polygon(mirrored(((0.2, 0), (0.28, 0.42))), (164, 170, 178), (96, 102, 112)),
            *(
                Line(((-0.2 - 0.08 * y / 0.42, y), (0.2 + 0.08 * y / 0.42, y)), TIN_RING, 2.4)
                for y in (0.1, 0.3)
            ),
            Arc(0, 0.42, 0.28, 0.16, 0, 180, (90, 96, 104), 2),
        ),
        anchors=_mouth(0.42),
    ),
    WorldConcept(
        "boot",
        ("rubber boot", "old boot"),
        "a yellow rubber shoe",
        _front(
            Polygon(
                (
                    (-0.22, 0),
                    (0.3, 0),
                    (0.32, 0.1),
                    (0.2, 0.2),
                    (0.07, 0.24),
                    (0.06, 0.52),
                    (-0.2, 0.52),
                ),
                RUBBER,
                (170, 130, 10),
                1.6,
            ),
            Polygon(((-0.23, 0), (0.31, 0), (0.31, 0.05), (-0.23, 0.05)), (120, 90, 30)),
            Line(((-0.2, 0.46), (0.06, 0.46)), (200, 156, 20), 2.4),
        ),
        anchors=_mouth(0.52, x=-0.08),
    ),
    WorldConcept(
        "teapot",
        ("kettle", "round teapot"),
        "a round pink pot with a spout and a handle",
        _front(
            Arc(-0.34, 0.22, 0.12, 0.13, 60, 300, darken(PINK, 0.15), 5),
            Polygon(
                ((0.22, 0.12), (0.44, 0.36), (0.38, 0.4), (0.2, 0.26)), PINK, darken(PINK, 0.3)
            ),
            Ellipse(0, 0.2, 0.28, 0.21, PINK, darken(PINK, 0.3), 1.6),
            Ellipse(0, 0.385, 0.15, 0.03, lighten(PINK, 0.3), darken(PINK, 0.3)),
        ),
        anchors=_mouth(0.4),
    ),
)


def _plant(
    name: str,
    synonyms: tuple[str, ...],
    description: str,
    *shapes: Shape,
    plurals: tuple[str, ...] = (),
) -> WorldConcept:
    return WorldConcept(
        name, synonyms, description, (), (_at(MOUTH, *shapes),), without_article=plurals
    )


def _cactus_limb(x: float, y: float, width: float, height: float) -> tuple[Shape, ...]:
    spines = [
        Line(((x + side * width * 0.5, spine), (x + side * width * 0.8, spine + 0.02)), PALE, 1.2)
        for spine in (y + height * t for t in spread(0.1, 0.95, 6))
        for side in (-1, 1)
    ]
    corners = ((x - width, y), (x + width, y), (x + width, y + height), (x - width, y + height))
    return (
        Ellipse(x, y + height, width, width, LEAF_GREEN),
        Polygon(corners, LEAF_GREEN),
        *spines,
    )


PALE: Colour = (236, 246, 214)

PLANTS = (
    _plant(
        "rose",
        ("red rose", "roses"),
        "red round flowers on green stems",
        Flowers(
            (
                Ellipse(0, 0, 0.085, 0.085, (206, 24, 48), (140, 10, 30)),
                Arc(0, 0, 0.05, 0.05, 0, 270, (130, 8, 28), 1.6),
            ),
            STEM_GREEN,
            LEAF_GREEN,
        ),
        plurals=("roses",),
    ),
    _plant(
        "cactus",
        ("green cactus", "desert cactus"),
        "a green plant with arms and spines",
        *_cactus_limb(0, 0, 0.1, 0.46),
        Line(((0, 0.22), (-0.2, 0.22)), LEAF_GREEN, 7),
        *_cactus_limb(-0.2, 0.2, 0.055, 0.2),
        Line(((0, 0.16), (0.2, 0.16)), LEAF_GREEN, 7),
        *_cactus_limb(0.2, 0.14, 0.055, 0.24),
    ),
    _plant(
        "sunflower",
        ("sunflowers", "big sunflower"),
        "yellow flowers with a brown centre",
        Flowers(
            (
                *(
                    Ellipse(
                        0.1 * math.cos(math.radians(degrees)),
                        0.1 * math.sin(math.radians(degrees)),
                        0.04,
                        0.04,
                        (252, 206, 34),
                    )
                    for degrees in range(0, 360, 30)
                ),
                Ellipse(0, 0, 0.075, 0.075, (104, 62, 24), (70, 40, 10)),
            ),
            STEM_GREEN,
            LEAF_GREEN,
        ),
        plurals=("sunflowers",),
    ),
    _plant(
        "fern",
        ("green fern", "leafy fern"),
        "long arching green leaves",
        Fronds(STEM_GREEN, LEAF_GREEN),
    ),
    _plant(
        "mushroom",
        ("toadstool", "red mushroom"),
        "a red cap with white dots on a white stalk",
        Polygon(
            ((-0.07, 0), (0.07, 0), (0.06, 0.3), (-0.06, 0.3)), (244, 236, 222), (190, 180, 160)
        ),
        Dome(0, 0.28, 0.27, 0.26, (214, 34, 34), (140, 16, 16)),
        *(
            Ellipse(x, y, radius, radius, (255, 250, 244))
            for x, y, radius in (
                (-0.14, 0.36, 0.035),
                (0, 0.46, 0.04),
                (0.14, 0.36, 0.035),
                (0.04, 0.34, 0.025),
            )
        ),
    ),
    _plant(
        "bonsai",
        ("bonsai tree", "small tree"),
        "a small plant with a brown trunk and green round clouds of leaves",
        Line(((0, 0), (0.05, 0.14), (-0.04, 0.26), (0.06, 0.4)), (104, 68, 38), 6),
        *(
            Ellipse(x, y, radius * 1.2, radius * 0.72, (58, 132, 70), (34, 92, 46))
            for x, y, radius in ((-0.17, 0.3, 0.12), (0.17, 0.38, 0.13), (0, 0.5, 0.13))
        ),
    ),
)


# ── outfits ──────────────────────────────────────────────────────────────────────────────────────


def _body(
    *, eyes: Point, head_radius: float, neck_y: float, neck: float, top: float
) -> dict[str, Anchor]:
    """Where things are worn: eyes are (distance from the middle, y), ``neck`` is a half-width."""
    eye_x, eye_y = eyes
    return {
        "top": Anchor(0, top),
        "neck": Anchor(0, neck_y),
        "collar": Anchor(0, neck_y, neck + 0.04),
        "tail": Anchor(neck * 0.35, neck_y),
        "left lens": Anchor(-max(eye_x, 0.08), eye_y),
        "right lens": Anchor(max(eye_x, 0.08), eye_y),
        "bridge": Anchor(0, eye_y, eye_x),
        "temples": Anchor(0, eye_y, head_radius + 0.02),
    }


def _both_sides(*points: Point) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    return tuple((-x, y) for x, y in points), points


def _eyes(x: float, y: float) -> tuple[Shape, ...]:
    return tuple(Ellipse(side * x, y, 0.024, 0.03, (30, 30, 36)) for side in (-1, 1))


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[Point, ...]:
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


SNOW: Colour = (250, 250, 252)
SNOW_EDGE: Colour = (168, 180, 196)
FUR: Colour = (236, 146, 58)
STEEL: Colour = (160, 170, 182)
FEATHERS: Colour = (42, 46, 58)
SHEET: Colour = (236, 240, 250)
FROG_GREEN: Colour = (96, 178, 74)

CREATURES = (
    WorldConcept(
        "snowman",
        ("snow man", "smiling snowman"),
        "white stacked balls of snow with a carrot nose",
        _front(
            Ellipse(0, 0.2, 0.27, 0.2, SNOW, SNOW_EDGE),
            Ellipse(0, 0.5, 0.17, 0.15, SNOW, SNOW_EDGE),
            *(Ellipse(0, y, 0.018, 0.018, (40, 40, 40)) for y in (0.16, 0.26)),
            *(
                Line(points, (100, 66, 40), 2.4)
                for points in _both_sides((0.24, 0.3), (0.42, 0.42))
            ),
            Polygon(((0, 0.53), (0.16, 0.5), (0, 0.49)), (240, 130, 30)),
            *_eyes(0.06, 0.55),
        ),
        anchors=_body(eyes=(0.06, 0.55), head_radius=0.16, neck_y=0.37, neck=0.17, top=0.63),
    ),
    WorldConcept(
        "cat",
        ("orange cat", "kitten"),
        "an orange animal with pointed ears and whiskers",
        _front(
            Arc(0.3, 0.16, 0.14, 0.16, -90, 150, FUR, 5),
            Ellipse(0, 0.18, 0.22, 0.2, FUR, darken(FUR, 0.3)),
            Ellipse(0, 0.16, 0.11, 0.13, (252, 226, 190)),
            *(
                Polygon(points, FUR, darken(FUR, 0.3))
                for points in _both_sides((0.17, 0.56), (0.18, 0.76), (0.04, 0.65))
            ),
            Ellipse(0, 0.52, 0.19, 0.16, FUR, darken(FUR, 0.3)),
            *(
                Line(points, (90, 60, 40), 1)
                for y in (0.46, 0.49)
                for points in _both_sides((0.08, 0.48), (0.28, y))
            ),
            Polygon(((-0.025, 0.5), (0.025, 0.5), (0, 0.47)), (220, 90, 110)),
            *_eyes(0.075, 0.55),
        ),
        anchors=_body(eyes=(0.075, 0.55), head_radius=0.16, neck_y=0.36, neck=0.14, top=0.66),
    ),
    WorldConcept(
        "robot",
        ("metal robot", "small robot"),
        "a grey metal box body with an antenna and square eyes",
        _front(
            Polygon(_box(-0.22, 0.04, 0.22, 0.36), STEEL, darken(STEEL, 0.4), 1.8),
            Polygon(_box(-0.12, 0.12, 0.12, 0.26), (90, 190, 210), darken(STEEL, 0.4)),
            *(
                Line(points, darken(STEEL, 0.2), 5)
                for points in _both_sides((0.22, 0.3), (0.36, 0.16))
            ),
            Polygon(_box(-0.17, 0.4, 0.17, 0.66), STEEL, darken(STEEL, 0.4), 1.8),
            Line(((0.12, 0.66), (0.12, 0.8)), darken(STEEL, 0.4), 2),
            Ellipse(0.12, 0.82, 0.03, 0.03, (230, 60, 60)),
            Line(((-0.09, 0.45), (0.09, 0.45)), (60, 60, 70), 2.4),
            *(
                Polygon(_box(x - 0.035, 0.53, x + 0.035, 0.59), (250, 230, 90), (60, 60, 70))
                for x in (-0.075, 0.075)
            ),
        ),
        anchors=_body(eyes=(0.075, 0.56), head_radius=0.15, neck_y=0.38, neck=0.13, top=0.66),
    ),
    WorldConcept(
        "penguin",
        ("little penguin", "black penguin"),
        "a black and white bird with an orange beak",
        _front(
            *(Ellipse(x, 0.02, 0.08, 0.03, (244, 150, 40)) for x in (-0.09, 0.09)),
            Ellipse(0, 0.3, 0.24, 0.29, FEATHERS),
            Ellipse(0, 0.24, 0.16, 0.21, (248, 248, 248)),
            *(
                Polygon(points, FEATHERS)
                for points in _both_sides((0.21, 0.36), (0.36, 0.14), (0.2, 0.2))
            ),
            Ellipse(0, 0.55, 0.17, 0.15, FEATHERS),
            *(Ellipse(x, 0.56, 0.06, 0.06, (250, 250, 250)) for x in (-0.065, 0.065)),
            Polygon(((-0.05, 0.5), (0.05, 0.5), (0, 0.43)), (246, 150, 30)),
            *_eyes(0.065, 0.56),
        ),
        anchors=_body(eyes=(0.065, 0.56), head_radius=0.16, neck_y=0.4, neck=0.15, top=0.68),
    ),
    WorldConcept(
        "ghost",
        ("white ghost", "spooky ghost"),
        "a pale floating sheet with a wavy hem",
        _front(
            Polygon(
                (
                    *((x, 0.11 if k % 2 else 0.06) for k, x in enumerate(spread(-0.26, 0.26, 9))),
                    (0.24, 0.45),
                    (0.17, 0.64),
                    (0, 0.71),
                    (-0.17, 0.64),
                    (-0.24, 0.45),
                ),
                SHEET,
                (150, 160, 190),
                1.8,
            ),
            Ellipse(0, 0.43, 0.035, 0.05, (60, 60, 80)),
            *_eyes(0.075, 0.55),
        ),
        anchors=_body(eyes=(0.075, 0.55), head_radius=0.17, neck_y=0.35, neck=0.23, top=0.7),
    ),
    WorldConcept(
        "frog",
        ("green frog", "toad"),
        "a green animal with big round eyes and a wide mouth",
        _front(
            *(Ellipse(x, 0.05, 0.14, 0.05, darken(FROG_GREEN, 0.15)) for x in (-0.18, 0.18)),
            Ellipse(0, 0.2, 0.24, 0.19, FROG_GREEN, darken(FROG_GREEN, 0.3)),
            Ellipse(0, 0.17, 0.14, 0.13, (206, 226, 150)),
            Ellipse(0, 0.48, 0.24, 0.15, FROG_GREEN, darken(FROG_GREEN, 0.3)),
            *(
                shape
                for x in (-0.13, 0.13)
                for shape in (
                    Ellipse(x, 0.6, 0.085, 0.085, FROG_GREEN, darken(FROG_GREEN, 0.3)),
                    Ellipse(x, 0.61, 0.055, 0.055, (252, 252, 240)),
                )
            ),
            Arc(0, 0.48, 0.16, 0.09, 10, 170, (40, 90, 30), 2.4),
            *_eyes(0.13, 0.61),
        ),
        anchors=_body(eyes=(0.13, 0.61), head_radius=0.17, neck_y=0.34, neck=0.19, top=0.62),
    ),
)

FELT: Colour = (34, 34, 40)
GOLD: Colour = (250, 204, 40)
VELVET: Colour = (104, 62, 168)
SILK: Colour = (204, 30, 50)


def _star(x: float, y: float, outer: float, inner: float) -> tuple[Point, ...]:
    radii = [outer if k % 2 == 0 else inner for k in range(10)]
    return tuple(
        (x + radius * math.sin(k * math.pi / 5), y + radius * math.cos(k * math.pi / 5))
        for k, radius in enumerate(radii)
    )


def _stripe(k: int) -> Colour:
    return (60, 130, 200) if k % 2 else (250, 250, 250)


CLOTHES = (
    WorldConcept(
        "top hat",
        ("black top hat", "tall hat"),
        "a tall black hat with a red band",
        (
            _at(
                "top",
                Polygon(_box(-0.13, 0, 0.13, 0.25), FELT, (10, 10, 10)),
                Polygon(_box(-0.13, 0.03, 0.13, 0.08), (196, 40, 44)),
                Ellipse(0, 0, 0.22, 0.03, FELT),
            ),
        ),
    ),
    WorldConcept(
        "bow tie",
        ("red bow tie", "tie"),
        "a red bow at the neck",
        (
            _at(
                "neck",
                *(
                    Polygon(((0, 0), (x, 0.07), (x, -0.07)), SILK, darken(SILK, 0.4))
                    for x in (-0.14, 0.14)
                ),
                Ellipse(0, 0, 0.03, 0.03, darken(SILK, 0.2)),
            ),
        ),
    ),
    WorldConcept(
        "crown",
        ("golden crown", "gold crown"),
        "a golden zigzag headpiece with jewels",
        (
            _at(
                "top",
                Polygon(
                    (
                        (-0.16, -0.03),
                        (0.16, -0.03),
                        (0.19, 0.18),
                        (0.09, 0.08),
                        (0, 0.2),
                        (-0.09, 0.08),
                        (-0.19, 0.18),
                    ),
                    GOLD,
                    (170, 124, 0),
                    1.6,
                ),
                *(
                    Ellipse(x, 0.015, 0.022, 0.022, jewel)
                    for x, jewel in (
                        (-0.1, (220, 40, 60)),
                        (0, (40, 90, 220)),
                        (0.1, (220, 40, 60)),
                    )
                ),
            ),
        ),
    ),
    WorldConcept(
        "scarf",
        ("striped scarf", "wool scarf"),
        "a striped wool band around the neck",
        (
            _at(
                "collar",
                *(
                    Polygon(_box(-1 + 2 * k / 7, -0.045, -1 + 2 * (k + 1) / 7, 0.045), _stripe(k))
                    for k in range(7)
                ),
            ),
            _at(
                "tail",
                *(
                    Polygon(_box(0, -0.045 - k * 0.05, 0.09, -0.095 - k * 0.05), _stripe(k))
                    for k in range(4)
                ),
            ),
        ),
    ),
    WorldConcept(
        "wizard hat",
        ("pointed hat", "witch hat"),
        "a tall pointed purple hat with a star",
        (
            _at(
                "top",
                Polygon(((-0.17, 0), (0.17, 0), (0.05, 0.36)), VELVET, darken(VELVET, 0.3)),
                Ellipse(0, 0, 0.25, 0.04, VELVET, darken(VELVET, 0.3)),
                Polygon(_star(0.02, 0.13, 0.055, 0.024), (250, 220, 60)),
            ),
        ),
    ),
    WorldConcept(
        "sunglasses",
        ("dark glasses", "shades"),
        "dark lenses over the eyes",
        (
            _at("left lens", Ellipse(0, 0, 0.072, 0.055, (24, 24, 30), (0, 0, 0))),
            _at("right lens", Ellipse(0, 0, 0.072, 0.055, (24, 24, 30), (0, 0, 0))),
            _at("bridge", Line(((-1, 0.01), (1, 0.01)), (20, 20, 24), 2.4)),
            _at("temples", Line(((-1, 0.02), (1, 0.02)), (20, 20, 24), 1.6)),
        ),
        without_article=("sunglasses", "dark glasses", "shades"),
    ),
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "drinks": Family("drinks", "{a} of {b}", CONTAINERS, DRINKS),
        "plants": Family("plants", "{b} in {a}", VESSELS, PLANTS),
        "outfits": Family("outfits", "{a} wearing {b}", CREATURES, CLOTHES),
    }
)
"""All that can be asked for: 136 pairs."""
