"""Draws curves on doubly logarithmic paper as SVG, on which what grows in proportion is a straight line with one slope."""

import math
from html import escape

COLOURS = ["#4477AA", "#EE6677", "#228833", "#AA3377"]  # Paul Tol's "bright" scheme, as in experiments/lib/table/svg.cpp
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 300, 64, 14, 30, 44


def label(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def ticks(low, high):
    """1, 2, 5, 10, ... around [low, high]."""
    numbers = [m * 10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)]
    return [n for n in numbers if low * 0.999 <= n <= high * 1.001]


class Scale:
    def __init__(self, values, begin, end):
        self.low, self.high, self.begin, self.end = min(values) / 1.15, max(values) * 1.15, begin, end

    def __call__(self, value):
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + part * (self.end - self.begin)


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def path(points, style):
    return f'<path fill="none" {style} d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def panel(title, x_name, y_name, xs, ys, colour, proportional):
    """One curve; proportional: with a dashed line through its last point on which y grows as x."""
    x, y = Scale(xs, LEFT, WIDTH - RIGHT), Scale(ys, HEIGHT - BOTTOM, TOP)
    parts = [text((LEFT + WIDTH - RIGHT) / 2, 18, title), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_name),
             text(0, 0, y_name, more=f' transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"')]
    for v in ticks(y.low, y.high):
        parts += [path([(LEFT, y(v)), (WIDTH - RIGHT, y(v))], 'stroke="#ddd"'), text(LEFT - 6, y(v) + 4, label(v), "end")]
    for v in xs:
        parts += [path([(x(v), HEIGHT - BOTTOM), (x(v), HEIGHT - BOTTOM + 4)], 'stroke="#888"'),
                  text(x(v), HEIGHT - BOTTOM + 18, label(v))]
    if proportional:
        first = max(xs[0], xs[-1] * y.low / ys[-1])
        parts.append(path([(x(first), y(ys[-1] * first / xs[-1])), (x(xs[-1]), y(ys[-1]))], 'stroke="#999" stroke-dasharray="4 4"'))
    parts.append(path([(x(a), y(b)) for a, b in zip(xs, ys)], f'stroke="{colour}" stroke-width="2"'))
    parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" fill="{colour}"/>' for a, b in zip(xs, ys)]
    return "\n".join(parts)


def sheet(rows):
    """rows of panels, as an SVG file's text."""
    width, height = WIDTH * max(map(len, rows)), HEIGHT * len(rows)
    placed = [f'<g transform="translate({WIDTH * j} {HEIGHT * i})">\n{p}\n</g>' for i, row in enumerate(rows) for j, p in enumerate(row)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(placed) + "\n</svg>\n")
