"""Writes corpus/dicom/: small slices in every form, zips of them, and broken ones, for fuzz_dicom.c."""
import io
import os
import struct
import zipfile

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "dicom")
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
OPEN = 0xFFFFFFFF


def element(tag, vr, value, explicit=True, length=None):
    if isinstance(value, str):
        value = value.encode()
        value += (b"\0" if vr == "UI" else b" ") * (len(value) & 1)
    if isinstance(value, int):
        value = struct.pack("<H", value)
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit or tag >> 16 == 0xFFFE:
        return head + struct.pack("<I", length) + value
    if vr in ("OB", "OW", "SQ", "UN"):
        return head + vr.encode() + struct.pack("<HI", 0, length) + value
    return head + vr.encode() + struct.pack("<H", length) + value


def sequences(explicit):
    def item(inside, length=None):
        return element(0xFFFEE000, "", inside, length=length)
    inner = element(0x00280010, "US", 9, explicit)
    end_item, end = element(0xFFFEE00D, "", b""), element(0xFFFEE0DD, "", b"")
    out = element(0x00081140, "SQ", item(inner), explicit)
    out += element(0x00081141, "SQ", item(inner + end_item, OPEN) + end, explicit, OPEN)
    deep = item(element(0x00081143, "SQ", item(b"") + end, explicit, OPEN) + end_item, OPEN)
    out += element(0x00081142, "SQ", deep + end, explicit, OPEN)
    if explicit:
        inner = element(0x00280010, "US", 8, False)
        out += element(0x00090010, "UN", item(inner + end_item, OPEN) + end, True, OPEN)
    return out


def dicom(explicit=True, preamble=True, meta=True, syntax=None, nested=False, bits=(16, 16, 15, 1),
          size=(4, 4), z=0.0, photometric="MONOCHROME2", series="1.2.3", slope="1",
          orientation="1\\0\\0\\0\\1\\0", frames=None, samples=1, position=None):
    allocated, stored, high, sign = bits
    out = b"\0" * 128 + b"DICM" if preamble else b""
    if meta:
        out += element(0x00020000, "UL", b"\0\0\0\0")
        out += element(0x00020010, "UI", syntax or (EXPLICIT if explicit else IMPLICIT))
    fields = [(0x00080005, "CS", "ISO_IR 100"), (0x00080060, "CS", "CT")]
    rest = [(0x00180050, "DS", "2.5"), (0x0020000E, "UI", series), (0x00200013, "IS", "3"),
            (0x00200032, "DS", position or f"-9\\-8\\{z}"), (0x00200037, "DS", orientation),
            (0x00280002, "US", samples), (0x00280004, "CS", photometric)]
    if frames:
        rest.append((0x00280008, "IS", frames))
    rest += [(0x00280010, "US", size[1]), (0x00280011, "US", size[0]),
             (0x00280030, "DS", "0.7\\0.7"), (0x00280100, "US", allocated),
             (0x00280101, "US", stored), (0x00280102, "US", high), (0x00280103, "US", sign),
             (0x00281052, "DS", "-1024"), (0x00281053, "DS", slope)]
    out += b"".join(element(*f, explicit) for f in fields)
    out += sequences(explicit) if nested else b""
    out += b"".join(element(*f, explicit) for f in rest)
    count = size[0] * size[1]
    pixels = bytes(i * 7 % 256 for i in range(count * allocated // 8))
    return out + element(0x7FE00010, "OW", pixels, explicit)


def archive(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as zip_file:
        for name, data in files:
            zip_file.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


stack = [dicom(z=z) for z in (5, 0, 2.5)]
sagittal = [dicom(orientation="0\\1\\0\\0\\0\\-1", position=f"{x}\\0\\9") for x in (0, -3, -6)]
named = [(f"s/{i}.dcm", data) for i, data in enumerate(stack)]
seeds = {
    "explicit": dicom(),
    "implicit": dicom(False),
    "bare": dicom(preamble=False),
    "bare_explicit": dicom(preamble=False, meta=False),
    "bare_implicit": dicom(False, preamble=False, meta=False),
    "nested": dicom(nested=True),
    "nested_implicit": dicom(False, nested=True),
    "unsigned12": dicom(bits=(16, 12, 11, 0)),
    "signed12_high": dicom(bits=(16, 12, 15, 1)),
    "bytes": dicom(bits=(8, 8, 7, 0)),
    "inverted": dicom(photometric="MONOCHROME1"),
    "colour": dicom(photometric="RGB", samples=3),
    "frames": dicom(frames="12"),
    "jpeg": dicom(syntax="1.2.840.10008.1.2.4.70"),
    "big_endian": dicom(syntax="1.2.840.10008.1.2.2"),
    "cut": dicom()[:-9],
    "long": dicom()[:172] + element(0x00091000, "OB", b"", length=0xFFFFFFF0),
    "deep": dicom()[:172] + (element(0x00081140, "SQ", b"", length=OPEN)
                             + element(0xFFFEE000, "", b"", length=OPEN)) * 40,
    "zip": archive(named),
    "zip_stored": archive(named, zipfile.ZIP_STORED),
    "zip_others": archive([("DICOMDIR", b"x"), ("__MACOSX/._a", b"x"), ("d/", b"")] + named),
    "zip_empty": archive([]),
    "files": b"--next--".join(stack),
    "files_sagittal": b"--next--".join(sagittal),
    "files_scales": b"--next--".join(stack + [dicom(z=7.5, slope="2", bits=(8, 8, 7, 0))]),
    "files_mixed": b"--next--".join(stack + [dicom(z=7.5, series="1.2.4")]),
    "files_gap": b"--next--".join(stack + [dicom(z=10)]),
}
os.makedirs(FOLDER, exist_ok=True)
for name, data in seeds.items():
    with open(os.path.join(FOLDER, name), "wb") as out:
        out.write(data)
