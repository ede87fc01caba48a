#!/usr/bin/env python3
"""Records losses and gradients of one segmentation and one classification step of the One Shot
network, as PyTorch computes them, for tests/golden/parity_train.c.

    make_train.py [--name NAME]         writes the records of COMMITTED beside itself
    make_train.py --out DIR --backbone resnet50 --batch-norm batch --seed 5 [--image-seed 7]
                  [--png SLICE --labels MAP]
                                        writes one record to DIR
    make_train.py --check RECORD        computes a record again and says how far it is from it

Both steps start from the filled parameters (see make_golden.py, which has the network); no optimizer
step lies between. The samplers keep every candidate, so nothing is random. Gradients are those of
float64; `f32_dev/NAME` says how far a float32 run was from them, relative to NAME's magnitude. A
record whose matches or regions hang on rounding is refused.

What a float32 run is off comes from single activations next to zero, where rounding decides whether
gradients pass a ReLU: it is luck which parameters they meet, and no implementation could be held to
it. So biases in front of ReLUs are moved by some thousandths, each to where its channel has no values
near zero; a record holds them as `bn/` tensors. What still lies within rounding then, as two pixels
of a max-pooling may, is decided the other way in a second float64 run: a record in which that moves
anything by more than half of what an implementation is allowed is refused; choose another seed.
Who misses the limits of what is left computes something else.

Norms work on the statistics of the image in every training step; what a model does after training
(backbone_batch_norm, attention_batch_norm) decides only where the running statistics start: the
filled values, or `bn/` tensors. `after_both/` holds the first of each after the two steps.
"""
import argparse
import json
import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.ops import box_iou, roi_align

import make_golden as golden

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = 16  # stored values of every gradient
MASK_SIDE, MIN_AREA = 28, 30  # the area in pixels of the slice
THRESHOLDS = {"rpn_fg_iou_thresh": 0.7, "rpn_bg_iou_thresh": 0.3,
              "box_fg_iou_thresh": 0.75, "box_bg_iou_thresh": 0.5}


# ---- ground truth ----

def instances(labels, min_area):
    """8-connected regions of equal label, by class, then by their first pixel in raster order:
    boxes (n, 4), labels (n) and masks (n, height, width)."""
    height, width = labels.shape
    count = height * width
    first_is_largest = torch.arange(count, 0, -1, dtype=torch.float64).reshape(height, width)
    boxes, classes, masks = [], [], []
    for label in range(1, golden.CLASSES):
        inside = torch.from_numpy(labels == label)
        region = first_is_largest * inside
        while True:  # every pixel takes the largest number around it, until none is to be had
            grown = F.max_pool2d(region[None, None], 3, 1, 1)[0, 0] * inside
            if torch.equal(grown, region):
                break
            region = grown
        for number in sorted(set(region[inside].tolist()), reverse=True):
            mask = region == number
            if mask.sum() > min_area:
                y, x = torch.where(mask)
                boxes.append([int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1])
                classes.append(label)
                masks.append(mask)
    return torch.tensor(boxes), torch.tensor(classes), torch.stack(masks)


def placed_labels(labels, size):
    """The map on the network's grid: nearest neighbour, padded with background."""
    out = np.zeros((golden.SIDE, golden.SIDE), np.uint8)
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int).clip(0, side - 1)
                     for n, side in zip(size, labels.shape))
    out[:size[0], :size[1]] = labels[rows][:, columns]
    return out


# ---- what rounding decides ----

RELU = (torch.relu, F.relu)


class Decisions(torch.overrides.TorchFunctionMode):
    """Watches how far each ReLU, max-pooling and absolute value is from deciding otherwise. With
    `rounding`, one number for each of them in turn, what is as near as that does so."""
    SAMPLE, NEAREST = 1 << 16, 8

    def __init__(self, rounding=None):
        super().__init__()
        self.margins, self.nearest, self.rounding = [], [], rounding

    def otherwise(self, margin):
        """Where a decision is turned round, or None."""
        flat = margin.detach().flatten()
        self.margins.append(flat[::len(flat) // self.SAMPLE + 1].to(torch.float64, copy=True))
        self.nearest.append(flat.abs().topk(min(self.NEAREST, len(flat)), largest=False)[0])
        if self.rounding is None:
            return None
        return margin.detach().abs() <= self.rounding[len(self.margins) - 1]

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in RELU:
            other = self.otherwise(args[0])
            if other is not None:
                return torch.where((args[0] > 0) ^ other, args[0], torch.zeros_like(args[0]))
        elif function is torch.Tensor.abs:
            other = self.otherwise(args[0])
            if other is not None:
                return torch.where((args[0] > 0) ^ other, args[0], -args[0])
        elif function is F.max_pool2d:
            side, stride, padding = args[1], kwargs["stride"], kwargs["padding"]
            padded = F.pad(args[0][0], (padding,) * 4, value=float("-inf"))
            windows = padded.unfold(1, side, stride).unfold(2, side, stride).flatten(3)
            values, places = windows.topk(2, 3)
            lead = torch.where(values[..., 0] > 0, values[..., 0] - values[..., 1], 1.0)
            other = self.otherwise(lead)  # where all are zero, a ReLU stops the gradient anyway
            if other is not None:
                places = torch.where(other, places[..., 1], places[..., 0])
                return windows.gather(3, places[..., None])[None, ..., 0]
        return function(*args, **(kwargs or {}))


def rounding_of(single, double):
    """What float32 did to each margin. Proposals of equal objectness may swap places, and a few
    rows of what is computed from them with them: not the largest deviation, but several times one
    that nearly all keep within."""
    deviations = [(a - b).abs().sort()[0] for a, b in zip(single.margins, double.margins)]
    return [4 * float(d[int(0.98 * (len(d) - 1))]) for d in deviations]


class Clearing(torch.overrides.TorchFunctionMode):
    """Moves biases in front of ReLUs a little, each to the middle of the widest gap between the
    values of its channel that is near: after that no ReLU hangs on rounding."""
    NEAR = 0.02  # of a layer's typical value

    def __init__(self):
        super().__init__()
        self.cleared = {}

    def __enter__(self):
        self.last = None
        self.hook = torch.nn.modules.module.register_module_forward_hook(self.remember)
        return super().__enter__()

    def __exit__(self, *exception):
        self.hook.remove()
        return super().__exit__(*exception)

    def remember(self, module, inputs, output):
        if isinstance(getattr(module, "bias", None), torch.Tensor):
            self.last = module

    def shifts(self, x):
        values = x.transpose(0, 1).flatten(1).sort(1)[0]
        near = self.NEAR * float(x.square().mean().sqrt())
        values = torch.cat([values[:, :1] - near, values, values[:, -1:] + near], 1)
        middles, gaps = (values[:, 1:] + values[:, :-1]) / 2, values.diff(dim=1)
        widest, where = torch.where(middles.abs() <= near, gaps, 0.0).max(1)
        better = widest / 2 > values[:, 1:-1].abs().min(1)[0]
        return torch.where(better, -middles.gather(1, where[:, None])[:, 0], 0.0)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in RELU and self.last not in self.cleared:
            bias = self.last.bias
            before = bias.clone()
            bias += self.shifts(args[0] if args[0].dim() > 1 else args[0][None])
            moved = (bias - before).reshape(-1, *[1] * (args[0].dim() - 2))
            self.cleared[self.last] = True
            return torch.relu(args[0] + moved)
        return function(*args, **(kwargs or {}))


def clear(network, image, truth, image_class):
    """The biases that were moved, by name. Changes the network's running statistics."""
    for norm in network.norms().values():
        norm.train()
    plane, size = golden.network_input(image, torch.float32)
    with torch.no_grad(), Clearing() as clearing:
        segmentation_step(network, plane, size, truth)
        classification_step(network, plane, size, image_class)
    return {name + ".bias": module.bias.detach().clone()
            for name, module in network.named_modules() if module in clearing.cleared}


# ---- the two steps ----

def match(truth, boxes, high, low, low_quality):
    """Index of the ground truth of every box, -1 for background, -2 for neither."""
    return Matcher(high, low, allow_low_quality_matches=low_quality)(box_iou(truth, boxes))


def rpn_rows(values, per_anchor):
    """(1, A * k, 16, 16) as (anchors, k): by row, by column, by anchor."""
    anchors = values.shape[1] // per_anchor
    return values[0].reshape(anchors, per_anchor, 16, 16).permute(2, 3, 0, 1).reshape(-1, per_anchor)


def find_proposals(network, features, size):
    x = torch.relu(network.rpn.head.conv(features))
    objectness, deltas = network.rpn.head.cls_logits(x), network.rpn.head.bbox_pred(x)
    anchors = network.anchors(features)
    with torch.no_grad():
        proposals = network.proposals(objectness, deltas, anchors, size)
    return objectness, deltas, anchors, proposals


def match_proposals(proposals, truth):
    """Proposals and the ground truth behind them, without those that count as neither."""
    candidates = torch.cat([proposals, truth["boxes"].to(proposals.dtype)])
    matched = match(truth["boxes"].to(proposals.dtype), candidates,
                    THRESHOLDS["box_fg_iou_thresh"], THRESHOLDS["box_bg_iou_thresh"], False)
    kept = matched > Matcher.BETWEEN_THRESHOLDS
    return candidates[kept], matched[kept]


def rpn_losses(objectness, deltas, anchors, truth):
    boxes = truth["boxes"].to(anchors.dtype)
    matched = match(boxes, anchors, THRESHOLDS["rpn_fg_iou_thresh"],
                    THRESHOLDS["rpn_bg_iou_thresh"], True)
    kept, found = matched > Matcher.BETWEEN_THRESHOLDS, matched >= 0
    targets = BoxCoder((1, 1, 1, 1)).encode_single(boxes[matched[found]], anchors[found])
    return {
        "objectness": F.binary_cross_entropy_with_logits(rpn_rows(objectness, 1)[kept, 0],
                                                         found[kept].to(anchors.dtype)),
        "rpn_box_reg": (rpn_rows(deltas, 4)[found] - targets).abs().sum() / kept.sum(),
    }


def head_losses(network, features, proposals, truth):
    heads = network.roi_heads
    boxes, matched = match_proposals(proposals, truth)
    found = torch.where(matched >= 0)[0]
    labels = torch.where(matched >= 0, truth["labels"][matched.clamp(min=0)], 0)
    logits, deltas = network.branch(roi_align(features, [boxes], 7, 1 / golden.STRIDE, 2), "")
    targets = BoxCoder((10, 10, 5, 5)).encode_single(
        truth["boxes"].to(boxes.dtype)[matched[found]], boxes[found])
    deltas = deltas.reshape(len(boxes), golden.CLASSES, 4)[found, labels[found]]

    x = roi_align(features, [boxes[found]], 14, 1 / golden.STRIDE, 2)
    x = torch.relu(heads.mask_predictor.conv_mask(torch.relu(heads.mask_head.mask_fcn1(x))))
    masks = heads.mask_predictor.mask_fcn_logits(x)[torch.arange(len(found)), labels[found]]
    where = torch.cat([matched[found, None].to(boxes.dtype), boxes[found]], 1)
    mask_targets = roi_align(truth["masks"][:, None].to(boxes.dtype), where, MASK_SIDE, 1.0)[:, 0]
    return {
        "classifier": F.cross_entropy(logits, labels),
        "box_reg": F.smooth_l1_loss(deltas, targets, reduction="sum", beta=1.0) / len(boxes),
        "mask": F.binary_cross_entropy_with_logits(masks, mask_targets),
    }


def segmentation_step(network, image, size, truth):
    features = network.features(image)
    objectness, deltas, anchors, proposals = find_proposals(network, features, size)
    losses = rpn_losses(objectness, deltas, anchors, truth)
    losses.update(head_losses(network, features, proposals, truth))
    return losses, features, proposals


def find_regions(network, features, size):
    """What the classification branch looks at: constants, as far as gradients are concerned."""
    with torch.no_grad():
        proposals = find_proposals(network, features, size)[3]
        pooled = roi_align(features, [proposals], 7, 1 / golden.STRIDE, 2)
        return network.regions(*network.branch(pooled, "_s2"), proposals, size)


def classification_step(network, image, size, image_class):
    features = network.features(image)
    boxes = find_regions(network, features, size)[0]
    out = {}
    network.classify(network.vectors(network.region_features(features, boxes)), out)
    target = F.one_hot(torch.tensor(image_class), 3).to(features.dtype)
    return F.binary_cross_entropy_with_logits(out["logits"], target), boxes


def updated(name, step):
    """Which parameters a step trains."""
    evidence = name.startswith("attn_layer.") or "_classifier_attn." in name
    if "_s2." in name:
        return False
    return not evidence if step == "seg" else evidence or name.startswith("backbone.")


def gradients(network, loss, step):
    names, values = zip(*((n, p) for n, p in network.named_parameters() if updated(n, step)))
    found = torch.autograd.grad(loss, values, allow_unused=True)
    return {n: torch.zeros_like(v) if g is None else g for n, v, g in zip(names, values, found)}


def both_steps(network, image, truth, image_class, dtype):
    """All that a record holds, and the features."""
    network = network.to(dtype)
    for norm in network.norms().values():
        norm.train()
        norm.momentum = 0.1
    plane, size = golden.network_input(image, dtype)
    losses, features, proposals = segmentation_step(network, plane, size, truth)
    out = {"loss_" + name: loss.detach().reshape(1) for name, loss in losses.items()}
    steps = {"seg": gradients(network, sum(losses.values()), "seg")}
    loss, regions = classification_step(network, plane, size, image_class)
    out["loss_image"] = loss.detach().reshape(1)
    steps["cls"] = gradients(network, loss, "cls")
    for step, found in steps.items():
        for name, grad in found.items():
            out[f"{step}_grad_norm/{name}"] = grad.norm().reshape(1)
            out[f"{step}_grad_head/{name}"] = grad.flatten()[:HEAD].clone()
    for name, norm in network.norms().items():
        for leaf in ("running_mean", "running_var"):
            out[f"after_both/{name}.{leaf}"] = getattr(norm, leaf)[:HEAD].clone()
    out.update(proposals=proposals, cls_roi_boxes=regions)
    return out, features.detach(), size


# ---- records ----

def choices(network, features, size, truth):
    """What must not hang on rounding: proposals with their matches, and regions."""
    with torch.no_grad():
        boxes, matched = match_proposals(find_proposals(network, features, size)[3], truth)
        regions, labels, _, repeated = find_regions(network, features, size)
    return {"matches": torch.cat([boxes, matched[:, None] * 1e3], 1).double(),
            "regions": torch.cat([regions, labels[:, None] * 1e3, repeated[:, None] * 1e3], 1).double()}


def disagreement(a, b):
    if a["regions"].shape != b["regions"].shape or (a["regions"] - b["regions"]).abs().max() > 0.02:
        return "the regions differ"
    distance = torch.cdist(a["matches"], b["matches"], p=float("inf"))
    lonely = int((distance.min(0)[0] > 0.02).sum() + (distance.min(1)[0] > 0.02).sum())
    return f"{lonely} proposals have no counterpart of the same match" if lonely else None


def magnitude(name, value, out, counts):
    """What a deviation is measured against: the largest value; of a gradient's first values, the
    gradient's typical one where they are all smaller."""
    largest = float(value.abs().max())
    if "_grad_head/" not in name:
        return largest
    norm = float(out[name.replace("_head/", "_norm/")])
    return max(largest, norm / counts[name.split("/", 1)[1]] ** 0.5)


def undecided(deviations, moved):
    """What rounding may move most: the share of its limit, and its name."""
    return max((moved[name] / max(1e-3, 10 * deviations["f32_dev/" + name]), name) for name in moved
               if name.startswith(("loss_", "seg_grad_", "cls_grad_", "after_both/"))
               and "f32_dev/" + name in deviations)


def compute(config, seed, image, labels, image_class, calibrate=3, statistics=None):
    """The record's tensors, float32 deviations apart; and why it must not be used, or None."""
    make = golden.Network(config)
    make.fill(seed)
    modes = config["backbone_batch_norm"], config["attention_batch_norm"]
    if statistics is not None:
        make.load_state_dict(statistics, strict=False)
    elif "running" in modes:
        with torch.no_grad():
            golden.gather_statistics(make, seed, calibrate)
    kept = golden.kept_statistics(make, modes)
    size = golden.network_input(image, torch.float32)[1]
    enlarged = size[0] * size[1] / image.size
    boxes, classes, masks = instances(placed_labels(labels, size), int(MIN_AREA * enlarged))
    truth = {"boxes": boxes, "labels": classes, "masks": masks}

    if statistics is None:
        scratch = golden.Network(config)
        scratch.load_state_dict(make.state_dict())
        biases = clear(scratch, image, truth, image_class)
        make.load_state_dict(biases, strict=False)
        kept.update({"bn/" + name: value for name, value in biases.items()})

    state = {name: value.clone() for name, value in make.state_dict().items()}
    with Decisions() as by_single:
        single, features, size = both_steps(make, image, truth, image_class, torch.float32)
    picked = choices(make, features, size, truth)
    network = golden.Network(config)
    network.load_state_dict(state)
    counts = {name: p.numel() for name, p in network.named_parameters()}
    with Decisions() as by_double:
        double, features, size = both_steps(network, image, truth, image_class, torch.float64)
    torch.manual_seed(seed)
    shaken = features + 1e-5 * features.abs().max() * (2 * torch.rand_like(features) - 1)
    exact = choices(network, features, size, truth)
    problem = disagreement(picked, exact) or disagreement(choices(network, shaken, size, truth), exact)

    def distance(other):
        return {name: float((other[name].double() - value).abs().max() /
                            max(magnitude(name, value, double, counts), 1e-30))
                for name, value in double.items()
                if value.shape == other[name].shape and value.numel()}

    moved, rounding = {}, rounding_of(by_single, by_double)
    close = sum(int((n <= r).sum()) for n, r in zip(by_double.nearest, rounding))
    print(f"{close or 'no'} decisions found within rounding", flush=True)
    if close and not problem:
        network.load_state_dict(state)
        with Decisions(rounding):
            other = both_steps(network, image, truth, image_class, torch.float64)[0]
        moved = distance(other)
    deviations = {"f32_dev/" + name: v for name, v in distance(single).items()
                  if double[name].abs().max() > 1e-9}
    if moved:
        share, name = undecided(deviations, moved)
        print(f"decided otherwise they move {name} most: by {share:.2f} of its limit", flush=True)
        if share > 0.5:
            problem = "that is too much"
    out = {"image_u8": torch.from_numpy(image), "label_map_u8": torch.from_numpy(labels),
           "gt_boxes": boxes.float(), "gt_labels": classes}
    out.update(kept)
    out.update({name: value.float() for name, value in double.items()})
    return out, deviations, problem


def write(path, config, seed, image, labels, image_class, calibrate=3):
    out, deviations, problem = compute(config, seed, image, labels, image_class, calibrate)
    worst = max((v, k) for k, v in deviations.items())
    losses = " ".join(f"{k[5:]} {float(v):.3f}" for k, v in out.items() if k.startswith("loss_"))
    print(f"{path}: {len(out['gt_labels'])} truths, {losses}; float32 to float64 {worst[0]:.1e} "
          f"({worst[1]}){', REFUSED: ' + problem if problem else ''}", flush=True)
    if problem:
        return False
    out.update({k: torch.tensor([v], dtype=torch.float32) for k, v in deviations.items()
                if v >= 1e-4})  # ten times less is within the smallest limit
    metadata = dict(golden.as_metadata(config), seed=str(seed), image_class=str(image_class),
                    sampler="every candidate kept", **{k: str(v) for k, v in THRESHOLDS.items()})
    golden.save(path, {k: v.numpy() for k, v in out.items()}, metadata)
    return True


def load(path):
    """A record's tensors and metadata."""
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    metadata = header.pop("__metadata__")
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], kinds[entry["dtype"]])
            .reshape(entry["shape"]) for name, entry in header.items()}, metadata


def settings_of(metadata):
    config = dict(golden.DEFAULTS, backbone_batch_norm="batch", attention_batch_norm="batch")
    if "batch_norm" in metadata:
        config["backbone_batch_norm"] = config["attention_batch_norm"] = metadata["batch_norm"]
    for key, default in golden.DEFAULTS.items():
        if key in metadata:
            config[key] = ([float(v) for v in metadata[key].split(",")] if isinstance(default, list)
                           else type(default)(metadata[key]))
    return config


def check(path):
    """Largest deviations of what is computed here from what a record holds."""
    theirs, metadata = load(path)
    THRESHOLDS.update({k: float(metadata[k]) for k in THRESHOLDS if k in metadata})
    statistics = {k[3:]: torch.from_numpy(v.copy()) for k, v in theirs.items() if k.startswith("bn/")}
    ours, deviations, problem = compute(
        settings_of(metadata), int(metadata["seed"]), theirs["image_u8"].copy(),
        theirs["label_map_u8"].copy(), int(metadata["image_class"]), statistics=statistics)
    found = []
    for name, value in theirs.items():
        if name.startswith(("f32_dev/", "bn/")):
            continue
        if name not in ours:
            found.append((float("inf"), name))
            continue
        mine, value = ours[name].double().flatten(), torch.from_numpy(value.copy()).double().flatten()
        if name.startswith("after_both/"):
            value = value[:len(mine)]
        if len(mine) != len(value):
            found.append((float("inf"), name))
            continue
        found.append((float((mine - value).abs().max() / value.abs().max().clamp(min=1e-12)), name))
    found.sort(reverse=True)
    print(f"{path}: {len(found)} tensors{', REFUSED: ' + problem if problem else ''}")
    for deviation, name in found[:5]:
        print(f"  {deviation:.1e} {name}")
    ratios = [(deviations.get(k, 0.0), float(v)) for k, v in theirs.items() if k.startswith("f32_dev/")]
    print("  float32 deviations, largest: here {:.1e}, there {:.1e}".format(*map(max, zip(*ratios))))


def labelled(seed, height, width, truths=8):
    """Ellipses in classes over the noise of make_golden.py, for records that need no chest."""
    rng = np.random.default_rng(seed)
    image = golden.procedural(seed, height, width).astype(float)
    labels = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    for i in range(truths):
        label = 1 + i * 3 // truths
        radius = rng.uniform(0.06, 0.25, 2) * min(height, width) / (1 if label == 1 else 2)
        centre = rng.uniform(0, 1, 2) * (width, height)
        inside = ((x - centre[0]) / radius[0])**2 + ((y - centre[1]) / radius[1])**2 < 1
        labels[inside] = label
        image[inside] = 0.5 * image[inside] + 40 * label + rng.normal(0, 6, inside.sum())
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


# name: settings, seed, class, image (seed, height, width)
COMMITTED = {
    "batch": ({"backbone_batch_norm": "batch", "attention_batch_norm": "batch"}, 2, 2, (2, 320, 256)),
}


def committed(only):
    for name, (settings, seed, image_class, image) in COMMITTED.items():
        path = os.path.join(HERE, f"train_{name}.safetensors")
        if only in (None, name) and not write(path, dict(golden.DEFAULTS, **settings), seed,
                                              *labelled(*image), image_class):
            sys.exit(f"{name}: choose another seed")


def read_grey(path):
    return torchvision.io.read_image(path, torchvision.io.ImageReadMode.UNCHANGED)[0].numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="folder for one record")
    parser.add_argument("--check", metavar="RECORD")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--image-class", type=int, default=2)
    parser.add_argument("--image-seed", type=int, default=1, help="of an image with ellipses")
    parser.add_argument("--size", default="512x512", help="of that image, height x width")
    parser.add_argument("--png", help="a slice instead, 8-bit grey")
    parser.add_argument("--labels", help="its label map")
    parser.add_argument("--name", help="of the record, train_NAME.safetensors")
    parser.add_argument("--threads", type=int, default=1)
    golden.add_settings(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.check:
        return check(args.check)
    if not args.out:
        return committed(args.name)
    config = golden.settings_of(args)
    image, labels = ((read_grey(args.png), read_grey(args.labels)) if args.png else
                     labelled(args.image_seed, *map(int, args.size.split("x"))))
    name = args.name or f"{config['backbone']}_{config['backbone_batch_norm']}_{args.seed}_{args.image_seed}"
    os.makedirs(args.out, exist_ok=True)
    if not write(os.path.join(args.out, f"train_{name}.safetensors"), config, args.seed, image, labels,
                 args.image_class):
        sys.exit(1)


if __name__ == "__main__":
    main()
