"""Writes corpus/png/: a tiny PNG of every kind, and some broken ones, for fuzz_png.c."""
import os
import struct
import zlib

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "png")
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2)]


def chunk(kind, data=b""):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def row(colour, depth, xs, y, row_filter):
    bits = ""
    for x in xs:
        for c in range(CHANNELS[colour]):
            value = (x * 5 + y * 3 + c * 7) % (1 << depth)
            bits += format(value, f"0{depth}b")
    bits += "0" * (-len(bits) % 8)
    return bytes([row_filter]) + bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def png(colour, depth, interlaced=0, width=11, height=9, extra=b"", header=None):
    raw = b""
    for x0, y0, dx, dy in (PASSES if interlaced else [(0, 0, 1, 1)]):
        xs = range(x0, width, dx)
        if len(xs):
            for y in range(y0, height, dy):
                raw += row(colour, depth, xs, y, y % 5)
    out = b"\x89PNG\r\n\x1a\n"
    out += chunk(b"IHDR", header or struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0,
                                                 interlaced))
    if colour == 3:
        out += chunk(b"PLTE", bytes(i * 3 % 256 for i in range(3 << depth)))
    return out + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND")


seeds = {}
for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)),
                       (6, (8, 16))):
    for depth in depths:
        seeds[f"type{colour}_depth{depth}"] = png(colour, depth)
for colour in CHANNELS:
    seeds[f"type{colour}_interlaced"] = png(colour, 8, 1)
seeds["one_pixel"] = png(0, 8, width=1, height=1)
seeds["transparent_palette"] = png(3, 4, extra=chunk(b"tRNS", b"\0\x40\xff"))
seeds["profile"] = png(0, 8, extra=chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(100000))))
seeds["text"] = png(0, 8, extra=chunk(b"tEXt", b"k\0v") + chunk(b"zTXt", b"k\0\0junk"))
seeds["gamma"] = png(2, 8, extra=chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"sRGB", b"\0"))
seeds["animated"] = png(0, 8, extra=chunk(b"acTL", struct.pack(">II", 2, 0)))
seeds["huge"] = png(0, 8, header=struct.pack(">IIBBBBB", 0x7fffffff, 0x7fffffff, 8, 0, 0, 0, 0))
seeds["cut"] = png(2, 8)[:70]
seeds["trailing"] = png(0, 8) + b"more"
os.makedirs(FOLDER, exist_ok=True)
for name, data in seeds.items():
    with open(os.path.join(FOLDER, name + ".png"), "wb") as out:
        out.write(data)
