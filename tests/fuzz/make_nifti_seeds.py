"""Writes corpus/nifti/: small volumes of both versions, byte orders and many types, and broken ones,
for fuzz_nifti.c."""
import gzip
import os
import struct

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "nifti")
FORMATS = {2: "B", 256: "b", 512: "H", 4: "h", 768: "I", 8: "i", 1280: "Q", 1024: "q", 16: "f",
           64: "d"}
SROW = (-1, 0, 0, 9, 0, -1, 0, 8, 0, 0, 2, 7)


def nifti(version=1, order="<", shape=(3, 3, 2), datatype=4, srow=SROW, slope=0, forms=(0, 1),
          quatern=(0, 0, 1), offset=None, dims=3):
    code = FORMATS.get(datatype, "h")
    size = 348 if version == 1 else 540
    head = bytearray(size + 4)
    f, c, d = ("f", "h", "h") if version == 1 else ("d", "i", "q")

    def put(at, kind, *values):
        struct.pack_into(order + kind * len(values), head, at, *values)

    one = version == 1
    put(0, "i", size)
    head[(344 if one else 4):(348 if one else 12)] = b"n+1\0" if one else b"n+2\0\r\n\x1a\n"
    put(40 if one else 16, d, dims, *shape, 1, 1, 1, 1)
    put(70 if one else 12, "h", datatype)
    put(72 if one else 14, "h", 8 * struct.calcsize(order + code))
    put(76 if one else 104, f, 1, 1, 1, 2)
    put(108 if one else 168, "f" if one else "q", size + 4 if offset is None else offset)
    put(112 if one else 176, f, slope, -1024)
    put(252 if one else 344, c, forms[0], forms[1])
    put(256 if one else 352, f, *quatern, 1, 2, 3)
    put(280 if one else 400, f, *srow)
    count = shape[0] * shape[1] * shape[2]
    if count > 1000:
        return bytes(head)
    return bytes(head) + struct.pack(order + code * count, *(i % 100 for i in range(count)))


seeds = {}
for version in (1, 2):
    for order, name in (("<", "little"), (">", "big")):
        seeds[f"v{version}_{name}"] = nifti(version, order)
for datatype, code in FORMATS.items():
    seeds[f"type_{code}"] = nifti(datatype=datatype, order="<>"[datatype % 3 == 0])
seeds["qform"] = nifti(forms=(1, 0))
seeds["pixdim"] = nifti(forms=(0, 0))
seeds["scaled"] = nifti(slope=2)
seeds["sagittal"] = nifti(srow=(0, 0, -1, 0, 1, 0, 0, 0, 0, 1, 0, 0))
seeds["flat"] = nifti(shape=(4, 4, 1), dims=2)
seeds["frames"] = nifti(shape=(4, 4, 1), dims=4)
seeds["huge"] = nifti(shape=(30000, 30000, 10))[:377]
seeds["overflow"] = nifti(2, shape=(2**31 - 1, 2**31 - 1, 2**31 - 1))
seeds["nan"] = nifti(datatype=16, srow=(float("nan"),) * 12)
seeds["offset"] = nifti(offset=1e9)
seeds["cut"] = nifti()[:360]
seeds["trailing"] = nifti() + b"more"
seeds["gzip"] = gzip.compress(nifti(), mtime=0)
seeds["members"] = gzip.compress(nifti()[:99], mtime=0) + gzip.compress(nifti()[99:], mtime=0)
os.makedirs(FOLDER, exist_ok=True)
for name, data in seeds.items():
    with open(os.path.join(FOLDER, name), "wb") as out:
        out.write(data)
