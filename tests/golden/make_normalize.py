"""Writes normalize.inc: what PyTorch makes of small slices (section "Input" of the model).

Run by hand where torch is installed: python3 tests/golden/make_normalize.py
The slices follow a formula that test_normalize.c repeats.
"""
import os

import torch
import torch.nn.functional as F

CASES = [  # width, height, side
    (7, 5, 16), (13, 20, 8), (8, 8, 8), (1, 9, 6), (9, 1, 6), (37, 23, 16), (2, 2, 9), (64, 63, 16),
    (300, 1, 12), (33, 200, 40),
]


def slice_of(width, height):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x * 37 + y * 101 + (x * y) % 17 * 13) % 256).double() / 255


lines = ["/* Made by make_normalize.py; do not edit. */"]
for width, height, side in CASES:
    image = slice_of(width, height)
    image = (image - image.mean()) / image.std(unbiased=True)
    scale = side / max(width, height)
    new_w = max(1, int(width * scale + 0.5))
    new_h = max(1, int(height * scale + 0.5))
    small = F.interpolate(image[None, None], size=(new_h, new_w), mode="bilinear",
                          align_corners=False)[0, 0]
    plane = torch.zeros(side, side, dtype=torch.float64)
    plane[:new_h, :new_w] = small
    name = f"golden_{width}x{height}_{side}"
    lines.append(f"static const float {name}[] = {{")
    values = [f"{v:.7g}" for v in plane.flatten().tolist()]
    for i in range(0, len(values), 8):
        lines.append("    " + " ".join(
            (v if any(c in v for c in ".e") else v + ".0") + "F," for v in values[i:i + 8]))
    lines.append("};")
lines.append("static const struct golden {")
lines.append("    int width, height, side, placed_width, placed_height;")
lines.append("    const float *plane;")
lines.append("} goldens[] = {")
for width, height, side in CASES:
    scale = side / max(width, height)
    new_w = max(1, int(width * scale + 0.5))
    new_h = max(1, int(height * scale + 0.5))
    lines.append(f"    {{{width}, {height}, {side}, {new_w}, {new_h}, "
                 f"golden_{width}x{height}_{side}}},")
lines.append("};")
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "normalize.inc")
with open(path, "w") as out:
    out.write("\n".join(lines) + "\n")
