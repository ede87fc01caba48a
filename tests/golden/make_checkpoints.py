"""Writes tests/golden/checkpoints/: small files of torch.save, good and bad, and what is in them.

Needs PyTorch and torchvision; the tests need only the files. Run from the project's root.
"""
import collections
import io
import json
import os
import pickle
import struct
import warnings
import zipfile

import numpy as np
import torch
import torchvision

warnings.filterwarnings("ignore")
FOLDER = "tests/golden/checkpoints/"
OrderedDict = collections.OrderedDict


def write_safetensors(name, tensors):
    """The same tensors by the format's definition, in the order given."""
    names = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
             torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
             torch.uint8: "U8", torch.bool: "BOOL"}
    header, data = {}, b""
    for key, t in tensors.items():
        t = t.detach().contiguous()
        size = t.element_size() * t.nelement()
        raw = bytes(t.clone().storage().untyped()) if t.nelement() else b""
        assert len(raw) == size
        header[key] = {"dtype": names[t.dtype], "shape": list(t.shape),
                       "data_offsets": [len(data), len(data) + size]}
        data += raw
    text = json.dumps(header).encode()
    with open(FOLDER + name, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def state_dict():
    """Every dtype, and every way a tensor can lie in its storage."""
    base = torch.arange(24, dtype=torch.float32) * 0.25 - 1
    d = OrderedDict()
    d["f32"] = base
    d["view"] = base.view(4, 6)
    d["transposed"] = base.view(4, 6).t()
    d["slice"] = base[5:11]
    d["stepped"] = base[1:22:4]
    d["permuted"] = base.view(2, 3, 4).permute(2, 0, 1)[1:, :, ::2]
    d["column"] = base.view(4, 6)[:, 2:3]
    d["scalar"] = torch.tensor(7, dtype=torch.int64)
    d["empty"] = torch.zeros(0, 3)
    d["f64"] = torch.tensor([1.5, -2.25e-300], dtype=torch.float64)
    d["f16"] = torch.tensor([0.1, -65504.0]).half()
    d["bf16"] = torch.tensor([0.1, 3e38]).bfloat16()
    d["i32"] = torch.tensor([-5, 2**31 - 1], dtype=torch.int32)
    d["i16"] = torch.tensor([-5, 32767], dtype=torch.int16)
    d["i8"] = torch.tensor([-128, 127], dtype=torch.int8)
    d["u8"] = torch.tensor([0, 255], dtype=torch.uint8)
    d["bool"] = torch.tensor([True, False, True])
    d["parameter"] = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    return d


class Unknown:
    """Pickled by reference to a class that no reader can import."""

    def __init__(self):
        self.sizes = ((2, 4.5),)
        self.aspect_ratios = ((0.5, 1, 2),)


Unknown.__module__ = "models.elsewhere"


def save(obj, name, legacy=False, **options):
    torch.save(obj, FOLDER + name, _use_new_zipfile_serialization=not legacy, **options)


def rezip(source, name, method=zipfile.ZIP_STORED, change=None):
    """Copies an archive's entries, perhaps compressed or changed by change(name, bytes)."""
    old = zipfile.ZipFile(FOLDER + source)
    with zipfile.ZipFile(FOLDER + name, "w", method) as new:
        for info in old.infolist():
            entry, data = info.filename, old.read(info)
            if change:
                entry, data = change(entry, data) or (None, None)
            if entry:
                new.writestr(zipfile.ZipInfo(entry), data, method)


def rezip64(source, name):
    """Writes every number the zip64 way (APPNOTE 4.3.14, 4.5.3), as for a file over 4 GB."""
    old = zipfile.ZipFile(FOLDER + source)
    body, table = b"", b""
    none = 0xFFFFFFFF
    for info in old.infolist():
        entry, data = info.filename.encode(), old.read(info)
        extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(body))
        table += struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, info.CRC, none, none,
                             len(entry), len(extra) + 6, 0, 0, 0, 0, none)
        table += entry + struct.pack("<HH2s", 0x1234, 2, b"??") + extra
        body += struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, info.CRC, len(data), len(data),
                            len(entry), 0) + entry + data
    count = len(old.infolist())
    end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(table),
                      len(body))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(body) + len(table), 1)
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, none, none, 7) + b"comment"
    with open(FOLDER + name, "wb") as f:
        f.write(body + table + end + locator + last)


class Crafted:
    """Pickles as a tensor with whatever arguments."""

    def __init__(self, *arguments, function=torch._utils._rebuild_tensor_v2):
        self.arguments, self.function = arguments, function

    def __reduce__(self):
        return self.function, self.arguments


class Reference:
    """Stands for a persistent id."""

    def __init__(self, *id):
        self.id = id


class LegacyPickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.id if isinstance(obj, Reference) else None


def save_legacy(obj, name, storages):
    """The legacy stream by hand: ids in it are what the object says, whatever torch would write."""
    with open(FOLDER + name, "wb") as f:
        for head in 0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}:
            pickle.dump(head, f, 2)
        LegacyPickler(f, 2).dump(obj)
        pickle.dump(list(storages), f, 2)
        for data in storages.values():
            f.write(struct.pack("<q", len(data)) + data.tobytes())


def storage(n=6):
    return torch.arange(n, dtype=torch.float32).storage()


def good():
    d = state_dict()
    wrapped = {"model_weights": d, "epoch": "10", "lrate": 1e-5, "model_name": "tiny"}
    save(wrapped, "zip.pth")
    save(wrapped, "legacy.pth", legacy=True)
    save(wrapped, "protocol4.pth", pickle_protocol=4)
    write_safetensors("expected.safetensors", d)
    rezip("zip.pth", "deflated.pth", zipfile.ZIP_DEFLATED)

    small = OrderedDict(a=torch.tensor([1.0, 2.0]), b=torch.tensor([3.0]))
    save(OrderedDict(("module." + k, v) for k, v in small.items()), "parallel.pth")
    mixed = OrderedDict(small)
    mixed["module.c"] = torch.tensor([4.0])
    mixed["note"] = "text"
    save({"state_dict": mixed}, "mixed.pth")
    for key in "model", "model_state_dict":
        save({key: small, "extra": [1, 2]}, key + ".pth", legacy=True)
    fpn = OrderedDict((f"backbone.fpn.{b}.0.0.{leaf}", torch.full((2,), float(i)))
                      for i, (b, leaf) in enumerate((b, leaf) for b in ("inner_blocks", "layer_blocks")
                                                    for leaf in ("weight", "bias")))
    save(fpn, "fpn.pth")


def anchors():
    import sys
    import types
    module = types.ModuleType("models.elsewhere")
    module.Unknown = Unknown
    sys.modules["models"] = types.ModuleType("models")
    sys.modules["models.elsewhere"] = module
    d = OrderedDict([("rpn.head.conv.weight", torch.zeros(1, 1, 3, 3)),
                     ("rpn.head.cls_logits.weight", torch.zeros(6, 1, 1, 1))])
    save({"model_weights": d, "anchor_generator": Unknown()}, "anchors.pth")
    d["rpn.head.cls_logits.weight"] = torch.zeros(5, 1, 1, 1)
    save({"model_weights": d, "anchor_generator": Unknown()}, "anchors_other.pth")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.second = torch.nn.Linear(2, 2)
        self.third = torch.nn.Linear(2, 2)
        self.third.weight = self.first_copy = self.second.weight


def adam(name, frozen=(), one_without_grad=False, names=False, legacy=True):
    """A few steps of a small net, so that moments and steps differ."""
    torch.manual_seed(1)
    net = Net()
    for parameter, value in net.named_parameters():
        value.requires_grad = parameter not in frozen
    chosen = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(chosen, lr=0.1)
    for step in range(3):
        optimizer.zero_grad(set_to_none=True)
        x = net.norm(net.first(torch.randn(5, 3)))
        out = net.third(net.second(x)) if step == 1 else net.second(x)
        out.square().mean().backward()
        if one_without_grad:
            net.norm.bias.grad = None
        optimizer.step()
    state = optimizer.state_dict()
    order = {id(p): k for k, p in net.named_parameters()}
    if names:
        state["param_groups"][0]["param_names"] = [order[id(p)] for p in chosen]
        for s in state["state"].values():  # as old PyTorch had it
            s["step"] = int(s["step"])
    weights = net.state_dict()
    if legacy:  # two parameters in one storage
        weights["second.bias"], weights["third.bias"] = torch.cat(
            [weights["second.bias"], weights["third.bias"]]).split(2)
    save({"model_weights": weights, "optimizer_state": state, "epoch": 3}, name,
         legacy=legacy)
    if "ambiguous" in name:
        return
    expected = OrderedDict(net.state_dict())
    for i, p in enumerate(chosen):
        s = state["state"].get(i)
        if s:
            expected["adam.m/" + order[id(p)]] = s["exp_avg"]
            expected["adam.v/" + order[id(p)]] = s["exp_avg_sq"]
            expected["adam.step/" + order[id(p)]] = torch.tensor(int(s["step"]))
    write_safetensors(name.replace(".pth", ".safetensors"), expected)


def bad_tensors():
    """Tensors that do not lie in their storage; named by what is wrong."""
    empty = OrderedDict()
    rows = {
        "past_end": (storage(), 0, (7,), (1,), False, empty),
        "offset_past_end": (storage(), 7, (0,), (1,), False, empty),
        "offset_large": (storage(), 2**62, (1,), (1,), False, empty),
        "offset_negative": (storage(), -1, (1,), (1,), False, empty),
        "stride_past_end": (storage(), 0, (2, 2), (5, 1), False, empty),
        "stride_negative": (storage(), 5, (2,), (-1,), False, empty),
        "size_negative": (storage(), 0, (-1,), (1,), False, empty),
        "size_overflow": (storage(), 0, (2**62, 2**62), (0, 0), False, empty),
        "extent_overflow": (storage(), 0, (2, 2**40), (1, 2**40), False, empty),
        "expanded": (storage(), 0, (1000, 1000), (0, 0), False, empty),
        "rank_differs": (storage(), 0, (2, 2), (1,), False, empty),
        "rank_large": (storage(), 0, (1,) * 9, (1,) * 9, False, empty),
        "size_text": (storage(), 0, "6", (1,), False, empty),
        "no_storage": ("storage", 0, (1,), (1,), False, empty),
        "too_few": (storage(),),
    }
    for name, arguments in rows.items():
        save(OrderedDict(t=Crafted(*arguments)), f"bad_{name}.pth")
    save(OrderedDict(t=torch.tensor([1 + 2j])), "bad_complex.pth")
    save(OrderedDict(t=torch.tensor([1 + 2j])), "bad_complex_legacy.pth", legacy=True)
    save(OrderedDict(t=torch.tensor([[1.0, 65520.0]])), "large.pth")
    same = torch.arange(6.0)
    large = torch.zeros(1000)
    save(OrderedDict((f"t{i}", large) for i in range(50)), "bad_many_views.pth", legacy=True)
    save({"weights": {"epoch": 3}, "epoch": 3}, "bad_no_state_dict.pth")
    save(OrderedDict([("a\nb", same)]), "bad_name.pth")
    save(OrderedDict([("a", same), ("fpn.inner_blocks.0.0.bias", same),
                      ("fpn.inner_blocks.0.bias", same)]), "bad_twice.pth")


def views():
    """Legacy ids may name a part of a storage."""
    floats, doubles = torch.FloatStorage, torch.DoubleStorage
    data = {"9": np.arange(6, dtype=np.float32)}

    def tensor(size, offset, *id):
        return Crafted(Reference("storage", *id), offset, (size,), (1,), False, OrderedDict())

    root = floats, "9", "cpu", 6
    save_legacy(OrderedDict(a=tensor(3, 0, *root, ("v", 2, 3)), b=tensor(2, 1, *root, ("v", 2, 3)),
                            c=tensor(6, 0, *root, None)), "views.pth", data)
    save_legacy(OrderedDict(a=tensor(2, 2, *root, ("v", 2, 3))), "bad_view_end.pth", data)
    save_legacy(OrderedDict(a=tensor(1, 0, *root, ("v", 4, 3))), "bad_view_large.pth", data)
    save_legacy(OrderedDict(a=tensor(1, 0, *root, ("v", 7, 0))), "bad_view_offset.pth", data)
    save_legacy(OrderedDict(a=tensor(1, 0, *root, "v")), "bad_view_text.pth", data)
    save_legacy(OrderedDict(a=tensor(1, 0, *root), b=tensor(1, 0, doubles, "9", "cpu", 6)),
                "bad_legacy_disagree.pth", data)
    save_legacy(OrderedDict(a=tensor(1, 0, *root)), "bad_legacy_missing.pth", {})
    save_legacy(OrderedDict(a=tensor(1, 0, *root)), "bad_legacy_more.pth",
                {"9": data["9"], "10": data["9"]})


def bad_archives():
    source = "zip_small.pth"
    save(OrderedDict(t=torch.arange(6.0)), source)
    save(OrderedDict(t=torch.arange(6.0)), "legacy_small.pth", legacy=True)

    def without(leaf):
        return lambda n, b: None if n.endswith(leaf) else (n, b)

    def replace(leaf, data):
        return lambda n, b: (n, data if n.endswith(leaf) else b)

    rezip(source, "bad_zip_no_object.pth", change=without("data.pkl"))
    rezip(source, "bad_zip_no_storage.pth", change=without("data/0"))
    rezip(source, "bad_zip_short_storage.pth", change=replace("data/0", b"12345678"))
    rezip64(source, "zip64.pth")

    def extra(n, b):
        return (n + "x/data.pkl", b) if n.endswith("version") else (n, b)

    rezip(source, "zip_deeper_object.pth", change=extra)
    rezip(source, "bad_zip_two_objects.pth",
          change=lambda n, b: ("second/data.pkl", b) if n.endswith("version") else (n, b))
    rezip(source, "bad_zip_twice.pth",
          change=lambda n, b: (n.replace("version", "data/0"), b))
    for order in "little", "big":
        rezip(source, f"{'bad_' if order == 'big' else ''}zip_{order}.pth",
              change=lambda n, b: (n.replace("version", "byteorder"),
                                   order.encode() if n.endswith("version") else b))

    raw = bytearray(open(FOLDER + source, "rb").read())

    def patched(name, at, data):
        copy = bytearray(raw)
        copy[at:at + len(data)] = data
        open(FOLDER + name, "wb").write(copy)

    floats = raw.index(np.arange(6, dtype=np.float32).tobytes())
    patched("bad_zip_checksum.pth", floats + 5, b"\xff")
    central = [i for i in range(len(raw)) if raw[i:i + 4] == b"PK\x01\x02"]
    data = next(i for i in central if raw[i + 46:].split(b"PK")[0].startswith(b"zip_small/data/0"))
    patched("bad_zip_encrypted.pth", data + 8, b"\x01")
    patched("bad_zip_method.pth", data + 10, b"\x0c\x00")
    patched("bad_zip_place.pth", data + 42, struct.pack("<I", len(raw)))
    patched("bad_zip_size.pth", data + 20, struct.pack("<I", len(raw)))
    end = raw.rindex(b"PK\x05\x06")
    patched("bad_zip_count.pth", end + 8, b"\xf0\xff\xf0\xff")
    patched("bad_zip_table.pth", end + 16, struct.pack("<I", len(raw)))

    rezip(source, "zip_deflated.pth", zipfile.ZIP_DEFLATED)
    raw = bytearray(open(FOLDER + "zip_deflated.pth", "rb").read())
    at = raw.index(b"PK\x01\x02") + 24  # of data.pkl, its size
    size = struct.unpack_from("<I", raw, at)[0]
    patched("bad_zip_inflate_more.pth", at, struct.pack("<I", size + 1))
    patched("bad_zip_inflate_less.pth", at, struct.pack("<I", size - 1))
    patched("bad_zip_inflate_bomb.pth", at, struct.pack("<I", 1 << 20))

    legacy = open(FOLDER + "legacy_small.pth", "rb").read()

    def changed(name, old, new):
        assert legacy.count(old) == 1, (name, legacy.count(old))
        open(FOLDER + name, "wb").write(legacy.replace(old, new))

    changed("bad_legacy_magic.pth", b"\x8a\x0al\xfc", b"\x8a\x0al\xfd")
    changed("bad_legacy_protocol.pth", b"\x80\x02M\xe9\x03.", b"\x80\x02M\xea\x03.")
    changed("bad_legacy_endian.pth", b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    changed("bad_legacy_type.pth", b"FloatStorage", b"FlootStorage")
    changed("bad_legacy_count.pth", b"\x06" + bytes(7) + np.float32(0).tobytes(),
            b"\x07" + bytes(7) + np.float32(0).tobytes())
    open(FOLDER + "bad_legacy_cut.pth", "wb").write(legacy[:-1])


def pickles():
    """One object by every protocol, as C arrays."""
    shared = ["x"]
    obj = {"none": None, "yes": True, "no": False, "small": 7, "large": 70000, "negative": -3,
           "wide": 2**40, "huge": 0x1950a86a20f9469cfc6c, "real": -0.75, "text": "h\u00e9",
           "tuple": (), "one": (1,), "two": (1, 2), "three": (1, 2, 3), "four": (1, 2, 3, 4),
           "list": [1, [2]], "shared": [shared, shared],
           "ordered": OrderedDict([("k", 1), ("l", 2)])}
    with open("tests/golden/pickles.h", "w") as f:
        f.write("/* Written by make_checkpoints.py: one object by every protocol of pickle. */\n"
                "// clang-format off\n")
        for protocol in range(6):
            data = dict(obj)
            if protocol == 0:  # would escape it
                data["text"] = "he"
            if protocol < 2:  # decimals over 64 bits
                del data["huge"]
            if protocol >= 3:
                data["bytes"] = b"\x00\x01"
            if protocol >= 4:
                data["set"] = {5}
                data["frozen"] = frozenset([6])
            raw = pickle.dumps(data, protocol)
            f.write(f"static const unsigned char protocol{protocol}[] = {{\n")
            for i in range(0, len(raw), 24):
                f.write("    " + "".join(f"{b}," for b in raw[i:i + 24]) + "\n")
            f.write("};\n")
        f.write("// clang-format on\n")


def backbones():
    """The tensors of torchvision's bodies that tell them apart."""
    names = ["resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "resnext101_32x8d",
             "wide_resnet50_2"]
    with open("tests/golden/backbones.h", "w") as f:
        f.write("/* Written by make_checkpoints.py: first convolutions of torchvision's blocks. */\n"
                "// clang-format off\n"
                "static const struct { const char *backbone, *tensor; int shape[4]; } bodies[] = {\n")
        for name in names:
            with torch.no_grad():
                state = getattr(torchvision.models, name)().state_dict()
            for key, value in state.items():
                if key.endswith("conv1.weight") or key.startswith("layer1.0.conv"):
                    f.write(f'    {{"{name}", "{key}", {{{", ".join(map(str, value.shape))}}}}},\n')
        f.write("};\n// clang-format on\n")


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    good()
    anchors()
    adam("adam_all.pth", legacy=False)
    adam("adam_part.pth", frozen=("first.bias", "norm.weight", "norm.bias", "second.bias",
                                  "third.bias"))
    adam("adam_ambiguous.pth", frozen=("first.bias",))
    adam("adam_named.pth", frozen=("first.bias",), names=True)
    adam("adam_missing.pth", one_without_grad=True)
    bad_tensors()
    bad_archives()
    views()
    pickles()
    backbones()
