"""The pen of the miniature world: a handful of shapes, and how each is painted."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from PIL import Image, ImageDraw

PICTURE_SIZE = 128
"""Width and height of a finished picture, in pixels."""
SUPERSAMPLING = 3
"""Pictures are painted this many times larger and then reduced, for smooth edges."""
CANVAS_SIZE = PICTURE_SIZE * SUPERSAMPLING

Colour = tuple[int, ...]
"""Red, green, blue, and perhaps alpha, each in 0..255."""
Point = tuple[float, float]
"""x to the right of, y above the anchor; 1 is about three quarters of the picture."""


def lighten(colour: Colour, amount: float) -> Colour:
    """Move a colour towards white; amount in [0, 1]."""
    return tuple(int(value + (255 - value) * amount) for value in colour[:3])


def darken(colour: Colour, amount: float) -> Colour:
    """Move a colour towards black; amount in [0, 1]."""
    return tuple(int(value * (1 - amount)) for value in colour[:3])


def spread(low: float, high: float, count: int) -> list[float]:
    """Evenly spaced numbers from low to high, both included."""
    return [low + (high - low) * k / (count - 1) for k in range(count)]


def mirrored(profile: tuple[Point, ...]) -> tuple[Point, ...]:
    """Close a right-hand profile of (half-width, y) into a symmetric outline."""
    return profile + tuple((-width, y) for width, y in reversed(profile))


@dataclass(frozen=True, slots=True)
class Content:
    """A colour that the partner decides: the liquid seen through a vessel."""

    lighter: float = 0.0
    darker: float = 0.0

    def resolve(self, colour: Colour) -> Colour:
        """The shade of one liquid's colour."""
        return darken(lighten(colour, self.lighter), self.darker)


Paint = Colour | Content


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place on a concept where its partner is attached, with its own scale."""

    x: float
    y: float
    scale_x: float = 1.0
    scale_y: float = 1.0


class Pen:
    """Paints shapes on one canvas, relative to an anchor that can be moved."""

    def __init__(self, rng: random.Random, content: Colour, anchors: Mapping[str, Anchor]) -> None:
        self.rng = rng
        self.image = Image.new("RGB", (CANVAS_SIZE, CANVAS_SIZE))
        self.draw = ImageDraw.Draw(self.image, "RGBA")
        self.content = content
        self.anchors = dict(anchors)
        self.anchor = Anchor(0, 0)
        self._origin_x, self._origin_y, self._unit = 0.0, 0.0, 1.0

    def place(self, origin_x: float, origin_y: float, unit: float) -> None:
        """Put the object's foot at a canvas pixel; ``unit`` is the length 1 in canvas pixels."""
        self._origin_x, self._origin_y, self._unit = origin_x, origin_y, unit

    def paint(self, layers: tuple[Layer, ...]) -> None:
        """Paint layers in order, each at its anchor."""
        for layer in layers:
            self.anchor = self.anchors[layer.at]
            for shape in layer.shapes:
                shape.paint(self)

    def pixel(self, x: float, y: float) -> Point:
        """Where a point of the current anchor lies on the canvas."""
        at = self.anchor
        x, y = at.x + x * at.scale_x, at.y + y * at.scale_y
        return self._origin_x + x * self._unit, self._origin_y - y * self._unit

    def colour(self, paint: Paint) -> Colour:
        """The colour meant by a paint."""
        return paint.resolve(self.content) if isinstance(paint, Content) else paint

    def box(self, x: float, y: float, radius_x: float, radius_y: float) -> list[float]:
        """Canvas box (left, top, right, bottom) around a centre."""
        return [*self.pixel(x - radius_x, y + radius_y), *self.pixel(x + radius_x, y - radius_y)]

    def stroke(self, points: list[Point], colour: Colour, width: float) -> None:
        """Draw connected lines; width in pixels of the finished picture."""
        pixels = [self.pixel(x, y) for x, y in points]
        self.draw.line(pixels, fill=colour, width=_stroke_width(width), joint="curve")


class Shape(Protocol):
    """Something the pen can paint."""

    def paint(self, pen: Pen) -> None:
        """Paint it at the pen's current anchor."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """Shapes that share an anchor."""

    at: str
    shapes: tuple[Shape, ...]


def _stroke_width(width: float) -> int:
    return max(1, int(width * SUPERSAMPLING))


# ── plain shapes ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Polygon:
    """A filled outline."""

    points: tuple[Point, ...]
    fill: Paint
    outline: Paint | None = None
    width: float = 1.2

    def paint(self, pen: Pen) -> None:
        """Fill, then outline."""
        pixels = [pen.pixel(x, y) for x, y in self.points]
        pen.draw.polygon(pixels, fill=pen.colour(self.fill))
        if self.outline:
            colour = pen.colour(self.outline)
            width = int(self.width * SUPERSAMPLING)
            pen.draw.line([*pixels, pixels[0]], fill=colour, width=width, joint="curve")


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An upright ellipse, filled, outlined or both."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    fill: Paint | None = None
    outline: Paint | None = None
    width: float = 1.2

    def paint(self, pen: Pen) -> None:
        """Fill and outline."""
        pen.draw.ellipse(
            pen.box(self.x, self.y, self.radius_x, self.radius_y),
            fill=pen.colour(self.fill) if self.fill else None,
            outline=pen.colour(self.outline) if self.outline else None,
            width=int(self.width * SUPERSAMPLING) if self.outline else 0,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """Connected straight lines."""

    points: tuple[Point, ...]
    colour: Colour
    width: float = 1.5

    def paint(self, pen: Pen) -> None:
        """Stroke it."""
        pen.stroke(list(self.points), self.colour, self.width)


@dataclass(frozen=True, slots=True)
class Arc:
    """A piece of an ellipse's edge; degrees clockwise from the right."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    start: float
    end: float
    colour: Colour
    width: float = 2

    def paint(self, pen: Pen) -> None:
        """Stroke it."""
        pen.draw.arc(
            pen.box(self.x, self.y, self.radius_x, self.radius_y),
            self.start,
            self.end,
            fill=self.colour,
            width=_stroke_width(self.width),
        )


@dataclass(frozen=True, slots=True)
class Dome:
    """The upper half of an ellipse."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    fill: Colour
    outline: Colour
    width: float = 2

    def paint(self, pen: Pen) -> None:
        """Fill and outline."""
        pen.draw.pieslice(
            pen.box(self.x, self.y, self.radius_x, self.radius_y),
            180,
            360,
            fill=self.fill,
            outline=self.outline,
            width=int(self.width * SUPERSAMPLING),
        )


# ── shapes that differ from picture to picture ───────────────────────────────────────────────────

GLASS: Colour = (225, 238, 245, 90)
GLASS_EDGE: Colour = (120, 142, 158, 255)


@dataclass(frozen=True, slots=True)
class GlassVessel:
    """A clear vessel, filled up to a level with what the partner pours in.

    Its widths vary by 3 %, so the anchors ``liquid``, ``rim`` and ``brim`` are set here.
    """

    profile: tuple[Point, ...]
    level: float
    trim: tuple[Shape, ...] = ()
    """Handle and spout, painted before the body."""

    def paint(self, pen: Pen) -> None:
        """Trim, liquid, walls, surfaces, a gleam."""
        jitter = pen.rng.uniform
        profile = tuple((width * (1 + jitter(-0.03, 0.03)), y) for width, y in self.profile)
        for shape in self.trim:
            shape.paint(pen)
        liquid = tuple(_up_to(profile, self.level))
        surface, rim = liquid[-1][0], profile[-1]
        depth = max(0.03, surface * 0.22)
        gleam = -profile[1][0] * 0.6
        shapes: tuple[Shape, ...] = (
            Polygon(mirrored(liquid), Content()),
            Polygon(mirrored(profile), GLASS, GLASS_EDGE, 1.6),
            Ellipse(0, self.level, surface, depth, Content(lighter=0.18), Content(darker=0.15)),
            Ellipse(0, rim[1], rim[0], max(0.02, rim[0] * 0.18), None, GLASS_EDGE),
            Line(
                ((gleam, self.level * 0.35 + profile[0][1]), (gleam, self.level * 0.8)),
                (255, 255, 255, 120),
                2.2,
            ),
        )
        for shape in shapes:
            shape.paint(pen)
        pen.anchors.update(drink_anchors(self.level, surface, depth, rim[1], rim[0]))


def drink_anchors(
    level: float, radius_x: float, radius_y: float, rim_y: float, rim_radius: float
) -> dict[str, Anchor]:
    """Where things float (``liquid``, unit circle), rise (``rim``) and lean (``brim``)."""
    return {
        "liquid": Anchor(0, level, radius_x, radius_y),
        "rim": Anchor(0, rim_y),
        "brim": Anchor(rim_radius * 0.8, rim_y),
    }


def _up_to(profile: tuple[Point, ...], level: float) -> Iterator[Point]:
    for (width, y), (next_width, next_y) in pairwise(profile):
        yield width, y
        if next_y >= level:
            t = (level - y) / (next_y - y + 1e-9)
            yield width + t * (next_width - width), level
            return
    yield profile[-1]


@dataclass(frozen=True, slots=True)
class Steam:
    """Three wavering lines that rise."""

    def paint(self, pen: Pen) -> None:
        """Each line has its own phase."""
        for x in (-0.1, 0.02, 0.13):
            phase = pen.rng.uniform(0, 6)
            points = [
                (x + 0.025 * math.sin(phase + t * 7), 0.06 + t * 0.3) for t in spread(0, 1, 14)
            ]
            pen.stroke(points, (255, 255, 255, 190), 2.4)


@dataclass(frozen=True, slots=True)
class IceCubes:
    """Three cubes, turned at random, that float in the anchor's circle."""

    def paint(self, pen: Pen) -> None:
        """Cubes keep their proportions whatever the scale of the surface."""
        scale_x, scale_y = pen.anchor.scale_x, pen.anchor.scale_y
        for k in range(3):
            turn, size = pen.rng.uniform(0, 6.3), min(scale_x * 0.36, 0.085)
            x, y = (k - 1) * 0.55, pen.rng.uniform(0, 0.03) / scale_y
            corners = tuple(
                (
                    x + size * math.cos(turn + q * math.pi / 2) / scale_x,
                    y + size * 0.8 * math.sin(turn + q * math.pi / 2) / scale_y,
                )
                for q in range(4)
            )
            Polygon(corners, (214, 234, 250, 235), (140, 170, 200), 1).paint(pen)


@dataclass(frozen=True, slots=True)
class Bubbles:
    """Five bubbles that rise, one above the other."""

    def paint(self, pen: Pen) -> None:
        """Size and place vary."""
        for k in range(5):
            radius = pen.rng.uniform(0.018, 0.04)
            x, y = pen.rng.uniform(-0.16, 0.16), 0.06 + k * 0.06
            Ellipse(x, y, radius, radius, (110, 235, 130, 220), (30, 150, 60), 1).paint(pen)


@dataclass(frozen=True, slots=True)
class FloatingLeaves:
    """Four small leaves somewhere in the anchor's circle."""

    def paint(self, pen: Pen) -> None:
        """Leaves keep their size whatever the scale of the surface."""
        width, height = 0.035 / pen.anchor.scale_x, 0.02 / pen.anchor.scale_y
        for k in range(4):
            angle = pen.rng.uniform(0, 6.3) + k * 1.6
            x, y = 0.6 * math.cos(angle), 0.5 * math.sin(angle)
            Ellipse(x, y, width, height, (60, 150, 50), (30, 100, 30), 1).paint(pen)


@dataclass(frozen=True, slots=True)
class Flowers:
    """Three flowers on stems of different lengths, the middle one highest."""

    bloom: tuple[Shape, ...]
    """Painted at each tip."""
    stem: Colour
    leaf: Colour

    def paint(self, pen: Pen) -> None:
        """Stem, leaf and bloom, from left to right."""
        foot = pen.anchor
        for x, bonus in ((-0.2, 0.0), (0.0, 0.06), (0.2, 0.0)):
            height = 0.04 + pen.rng.uniform(0.24, 0.36) + bonus
            Line(((x * 0.3, 0), (x, height)), self.stem, 3).paint(pen)
            Ellipse(x * 0.7 + 0.04, height / 2 + 0.05, 0.05, 0.025, self.leaf).paint(pen)
            pen.anchor = Anchor(foot.x + x, foot.y + height)
            for shape in self.bloom:
                shape.paint(pen)
            pen.anchor = foot


@dataclass(frozen=True, slots=True)
class Fronds:
    """Seven arching stalks set with round leaves."""

    stalk: Colour
    leaf: Colour

    def paint(self, pen: Pen) -> None:
        """The farther a stalk leans, the more it droops."""
        for degrees in (-80, -55, -28, 0, 28, 55, 80):
            length, lean = pen.rng.uniform(0.38, 0.5), math.radians(degrees)
            points = [
                (
                    length * t * math.sin(lean),
                    length * t * math.cos(lean) - 0.16 * t * t * abs(degrees) / 80,
                )
                for t in spread(0, 1, 9)
            ]
            pen.stroke(points, self.stalk, 2)
            for x, y in points[2:]:
                Ellipse(x, y, 0.03, 0.022, self.leaf).paint(pen)
