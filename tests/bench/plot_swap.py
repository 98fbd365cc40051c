#!/usr/bin/env python3
"""A picture of swaps: each request's latency over time, from a real run of swap_under_load.py.

    tests/bench/plot_swap.py RESULT.json PICTURE.svg

Dots are requests, coloured by the version that answered; bands are swaps: loading, then the moment of Promote, then
unloading. Writes SVG by hand and needs Python's standard library only.
"""
import json
import math
import pathlib
import sys

WIDTH, HEIGHT = 1000, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 48, 48
COLOURS = {1: "#1f6fb4", 2: "#d2691e"}


def ticks(largest, wanted=6):
    step = 10 ** math.floor(math.log10(largest / wanted))
    step = next(step * factor for factor in (1, 2, 5, 10) if largest / (step * factor) <= wanted)
    return [round(number * step, 10) for number in range(int(largest / step) + 1)]


def picture(document):
    requests, swaps = document["requests"], document["swaps"]
    end = max(max(r[0] for r in requests), max(s["end"] for s in swaps))
    worst = max(r[1] for r in requests) * 1.08
    x = lambda seconds: LEFT + seconds / end * (WIDTH - LEFT - RIGHT)
    y = lambda ms: HEIGHT - BOTTOM - ms / worst * (HEIGHT - TOP - BOTTOM)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14">Latency of each request while {document["model_megabytes"]} MB of weights are swapped '
        f'({document["failed"] or "no"} request{"s" if document["failed"] > 1 else ""} failed)</text>',
    ]
    for number, swap in enumerate(swaps):
        left, middle, right = x(swap["start"]), x(swap["promoted"]), x(swap["end"])
        out.append(f'<rect x="{left:.1f}" y="{TOP}" width="{max(middle - left, 0.5):.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="#eef3e6"/>')
        out.append(f'<rect x="{middle:.1f}" y="{TOP}" width="{max(right - middle, 0.5):.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="#f3e6ee"/>')
        out.append(f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#444" stroke-dasharray="3 3"/>')
        out.append(f'<text x="{middle + 3:.1f}" y="{TOP - 4}" fill="{COLOURS[swap["version"]]}">version {swap["version"]} answers</text>')
        if number == 0:
            out.append(f'<text x="{left + 3:.1f}" y="{TOP + 14}" fill="#5a6b3a">loading</text>')
    for tick in ticks(worst):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in ticks(end, 10):
        out.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    # One path a version; a dot is a line of no length with round ends.
    for version, colour in COLOURS.items():
        dots = "".join(f"M{x(due):.1f} {y(latency):.1f}h0" for due, latency, by in requests if by == version)
        out.append(f'<path d="{dots}" stroke="{colour}" stroke-width="2.6" stroke-linecap="round" stroke-opacity="0.7"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">seconds</text>')
    out.append(f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">milliseconds to the answer</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pathlib.Path(sys.argv[2]).write_text(picture(json.loads(pathlib.Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
