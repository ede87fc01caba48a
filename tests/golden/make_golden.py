#!/usr/bin/env python3
"""Records what PyTorch computes for the One Shot network, stage by stage, for tests/golden/parity.c.

    make_golden.py                      writes the committed records, infer_*.safetensors beside itself
    make_golden.py --out DIR --backbone resnet50 --batch-norm batch --seed 5 --image 7 ...
                                        writes one full record to DIR

A network of its own: torchvision's bodies and operators, the rest written from the description of
the model. Parameters come from a seed (see fill), so that a record holds none; only the running
statistics of norms, which must suit the images, are stored. Everything is computed in float32, in
float64, and in float64 with noise of 1e-5 on the features: a record whose discrete choices are not
the same in all three is refused, because no implementation could be held to it.

Needs torch and torchvision (made with 1.13 and 0.14); the records are committed so that tests need
neither.
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
from torch import nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import box_iou, clip_boxes_to_image, roi_align

HERE = os.path.dirname(os.path.abspath(__file__))
SIDE, STRIDE, CLASSES = 512, 32, 4

DEFAULTS = {
    "backbone": "resnet18",
    "backbone_batch_norm": "running",
    "attention_batch_norm": "running",
    "out_channels": 256,
    "representation": 128,
    "anchor_sizes": [2, 4, 8, 16, 32],
    "anchor_ratios": [0.1, 0.25, 0.5, 1, 1.5, 2],
    "rpn_pre_nms_top_n": 400,
    "rpn_post_nms_top_n": 200,
    "rpn_nms_thresh": 0.75,
    "beta": 16,
    "region_nms_thresh": 0.25,
    "box_score_thresh": 0.05,
    "box_nms_thresh": 0.5,
    "box_detections_per_img": 16,
}


# ---- parameters ----

def noise(name, count, seed):
    """`count` numbers in [-1, 1) that follow from name and seed alone: splitmix64 over FNV-1a."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    golden = 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        z = np.uint64((h + seed * golden + golden) % 2**64) + np.arange(count, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1).astype(np.float32)


def fill(name, shape, seed):
    u = noise(name, int(np.prod(shape)), seed)
    f = np.float32
    if name.endswith((".running_mean", ".bias")):
        value = f(0.1) * u
    elif name.endswith(".running_var"):
        value = 1 + f(0.25) * u
    elif "lstm" in name:
        value = f(0.125) * u
    elif len(shape) == 1:
        value = 1 + f(0.25) * u
        if name.endswith("bn3.weight"):
            value = f(0.35) * value
    else:
        transposed = any(part in name for part in ("conv_mask", "conv5_mask", "conv_up"))
        fan_in = shape[0] if transposed else int(np.prod(shape[1:]))
        amplitude = np.sqrt(f(6 / fan_in))
        if name.endswith("bbox_pred.weight"):
            amplitude *= f(0.25)
        if name.endswith("cls_score.weight"):
            amplitude *= f(0.3)
        value = amplitude * u
    return torch.from_numpy(value.astype(np.float32).reshape(shape))


# ---- the network ----

class Group(nn.Module):
    """Modules under names, nothing else."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        c, r = config["out_channels"], config["representation"]
        anchors = len(config["anchor_sizes"]) * len(config["anchor_ratios"])
        body = getattr(torchvision.models, config["backbone"])(weights=None)
        depth = body.fc.in_features
        del body.fc, body.avgpool
        self.backbone = Group(body=body, fpn=Group(
            inner_blocks=nn.ModuleList([nn.Conv2d(depth, c, 1)]),
            layer_blocks=nn.ModuleList([nn.Conv2d(c, c, 3, padding=1)])))
        self.rpn = Group(head=Group(conv=nn.Conv2d(c, c, 3, padding=1),
                                    cls_logits=nn.Conv2d(c, anchors, 1),
                                    bbox_pred=nn.Conv2d(c, 4 * anchors, 1)))
        heads = {}
        for s in ("", "_s2"):
            heads["box_head" + s] = Group(fc6=nn.Linear(49 * c, r), fc7=nn.Linear(r, r))
            heads["box_predictor" + s] = Group(cls_score=nn.Linear(r, CLASSES),
                                               bbox_pred=nn.Linear(r, 4 * CLASSES))
            heads["mask_head" + s] = Group(mask_fcn1=nn.Conv2d(c, c, 3, padding=1))
        heads["mask_predictor"] = Group(conv_mask=nn.ConvTranspose2d(c, c, 2, 2),
                                        mask_fcn_logits=nn.Conv2d(c, CLASSES, 1))
        heads["mask_predictor_s2"] = Group(conv_mask=nn.ConvTranspose2d(c, c, 2, 2),
                                           conv_reduce=nn.Conv2d(c, c, 3, padding=1))
        self.roi_heads = Group(**heads)
        self.attn_layer = Group(
            sieve=nn.ModuleList([Group(conv_down=nn.Conv2d(c, c // 2, 2, 2),
                                       bn=nn.BatchNorm2d(c // 2),
                                       conv_up=nn.ConvTranspose2d(c // 2, c, 2, 2))]),
            conv_d1=nn.Conv2d(c, c, 2, 2), bn1=nn.BatchNorm2d(c),
            conv_d2=nn.Conv2d(c, c, 2, 2), bn2=nn.BatchNorm2d(c),
            conv_d_final=nn.Conv2d(c, c, 7), bn3=nn.BatchNorm2d(c),
            lstm_pos=nn.LSTM(c, c), lstm_neg=nn.LSTM(c, c),
            final_linear_pos=nn.Linear(c, c), final_linear_neg=nn.Linear(c, c))
        for sign in ("pos", "neg"):
            self.add_module(sign + "_classifier_attn", Group(
                fc_l1=nn.Linear(c, r), fc_l2=nn.Linear(r, r), class_predict_logits=nn.Linear(r, 3)))
        self.config = config

    def fill(self, seed):
        with torch.no_grad():
            for name, value in self.state_dict().items():
                if not name.endswith("num_batches_tracked"):
                    value.copy_(fill(name, tuple(value.shape), seed))

    def norms(self):
        return {name: m for name, m in self.named_modules() if isinstance(m, nn.BatchNorm2d)}

    def set_modes(self, backbone, attention):
        """How norms work: "batch", "running", or "average", which gathers running statistics."""
        for name, norm in self.norms().items():
            mode = backbone if name.startswith("backbone.") else attention
            norm.train(mode != "running")
            norm.momentum = None if mode == "average" else 0.0

    def features(self, image):
        b = self.backbone.body
        x = image.expand(1, 3, SIDE, SIDE)
        x = b.maxpool(torch.relu(b.bn1(b.conv1(x))))
        x = b.layer4(b.layer3(b.layer2(b.layer1(x))))
        return self.backbone.fpn.layer_blocks[0](self.backbone.fpn.inner_blocks[0](x))

    def anchors(self, features):
        config = self.config
        make = AnchorGenerator((tuple(config["anchor_sizes"]),), (tuple(config["anchor_ratios"]),))
        image = torch.zeros(1, 3, SIDE, SIDE)
        return make(ImageList(image, [(SIDE, SIDE)]), [features.float()])[0].to(features.dtype)

    def proposals(self, objectness, deltas, anchors, size):
        config = self.config
        count = objectness.shape[1]
        scores = objectness[0].permute(1, 2, 0).reshape(-1)
        deltas = deltas[0].reshape(count, 4, 16, 16).permute(2, 3, 0, 1).reshape(-1, 4)
        boxes = BoxCoder((1, 1, 1, 1)).decode(deltas, [anchors])[:, 0]
        top = torch.sort(scores, descending=True, stable=True)[1][:config["rpn_pre_nms_top_n"]]
        boxes = clip_boxes_to_image(boxes[top], size)
        keep = suppress(boxes, config["rpn_nms_thresh"], config["rpn_post_nms_top_n"])
        return boxes[keep]

    def branch(self, pooled, suffix):
        head = getattr(self.roi_heads, "box_head" + suffix)
        predictor = getattr(self.roi_heads, "box_predictor" + suffix)
        x = torch.relu(head.fc7(torch.relu(head.fc6(pooled.flatten(1)))))
        return predictor.cls_score(x), predictor.bbox_pred(x)

    def found(self, logits, deltas, proposals, size, threshold, least_area, iou, most):
        """Boxes, labels and scores of a branch, best first."""
        scores = torch.softmax(logits, 1)[:, 1:]
        boxes = BoxCoder((10, 10, 5, 5)).decode(deltas, [proposals])
        boxes = clip_boxes_to_image(boxes, size)[:, 1:].reshape(-1, 4)
        labels = torch.arange(1, CLASSES).expand_as(scores).reshape(-1)
        scores = scores.reshape(-1)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        keep = torch.where((scores > threshold) & (area > least_area))[0]
        keep = keep[torch.sort(scores[keep], descending=True, stable=True)[1]]
        keep = keep[suppress(boxes[keep], iou, most, labels[keep])]
        return boxes[keep], labels[keep], scores[keep]

    def regions(self, logits, deltas, proposals, size):
        """The boxes that decide, in the order of the sequence, and which of them are repeats."""
        config, beta = self.config, self.config["beta"]
        boxes, labels, scores = self.found(logits, deltas, proposals, size, -0.01, 1e-5,
                                           config["region_nms_thresh"], beta)
        unique = len(boxes)
        slots = torch.arange(beta if unique else 0) * unique // beta
        repeated = torch.cat([torch.zeros(1, dtype=torch.bool), slots[1:] == slots[:-1]])[:len(slots)]
        order = torch.sort((boxes[slots, 0]**2 + boxes[slots, 1]**2).sqrt(), stable=True)[1]
        slots = slots[order]
        return boxes[slots], labels[slots], scores[slots], repeated[order]

    def region_features(self, features, boxes):
        heads = self.roi_heads
        x = roi_align(features, [boxes], 14, 1 / STRIDE, 2)
        x = torch.relu(heads.mask_head_s2.mask_fcn1(x))
        x = heads.mask_predictor_s2.conv_mask(x)
        return torch.relu(heads.mask_predictor_s2.conv_reduce(x))

    def vectors(self, x):
        a = self.attn_layer
        sieve = a.sieve[0]
        x = sieve.conv_up(torch.relu(sieve.bn(sieve.conv_down(x))))
        x = a.bn1(torch.relu(a.conv_d1(x)))
        x = a.bn2(torch.relu(a.conv_d2(x)))
        return a.bn3(torch.relu(a.conv_d_final(x))).flatten(1)

    def classify(self, vectors, out):
        for sign in ("pos", "neg"):
            states = getattr(self.attn_layer, "lstm_" + sign)(vectors[:, None])[0][:, 0]
            z = getattr(self.attn_layer, "final_linear_" + sign)(states[-1])
            attention = torch.softmax(states @ z, 0)
            o = z + attention @ states
            head = getattr(self, sign + "_classifier_attn")
            logits = head.class_predict_logits(torch.relu(head.fc_l2(torch.relu(head.fc_l1(o)))))
            out.update({"lstm_" + sign: states, "z_" + sign: z, "attention_" + sign: attention,
                        "o_" + sign: o, "logits_" + sign: logits})
        out["logits"] = out["logits_pos"] - out["logits_neg"]

    def forward(self, image, size, features=None):
        """image (1, 1, 512, 512), size (height, width) of what is not padding."""
        config, heads = self.config, self.roi_heads
        out = {"input": image[0, 0]}
        features = self.features(image) if features is None else features
        out["features"] = features[0]
        x = torch.relu(self.rpn.head.conv(features))
        objectness, deltas = self.rpn.head.cls_logits(x), self.rpn.head.bbox_pred(x)
        out["rpn_objectness"], out["rpn_deltas"] = objectness[0], deltas[0]
        proposals = self.proposals(objectness, deltas, self.anchors(features), size)
        out["proposals"] = proposals
        pooled = roi_align(features, [proposals], 7, 1 / STRIDE, 2)
        seg, cls = self.branch(pooled, ""), self.branch(pooled, "_s2")
        out["seg_box_logits"], out["seg_box_deltas"] = seg
        out["cls_box_logits"], out["cls_box_deltas"] = cls

        boxes, labels, scores = self.found(*seg, proposals, size, config["box_score_thresh"], -1,
                                           config["box_nms_thresh"], config["box_detections_per_img"])
        x = roi_align(features, [boxes], 14, 1 / STRIDE, 2)
        x = torch.relu(heads.mask_predictor.conv_mask(torch.relu(heads.mask_head.mask_fcn1(x))))
        masks = torch.sigmoid(heads.mask_predictor.mask_fcn_logits(x))
        masks = masks[torch.arange(len(labels)), labels]
        out.update(det_boxes=boxes, det_labels=labels, det_scores=scores, det_mask_probs28=masks)
        pasted = paste_masks_in_image(masks[:, None], boxes, (SIDE, SIDE)) if len(boxes) else masks
        out["det_mask_area"] = (pasted >= 0.5).flatten(1).sum(1)

        boxes, labels, scores, repeated = self.regions(*cls, proposals, size)
        out.update(roi_boxes=boxes, roi_labels=labels, roi_scores=scores, roi_padded=repeated)
        if len(boxes):
            x = self.region_features(features, boxes)
            out["roi_feature_means"], out["roi_feature_0"] = x.mean((2, 3)), x[0, :8]
            out["roi_vectors"] = self.vectors(x)
            self.classify(out["roi_vectors"], out)
        return out


def suppress(boxes, threshold, most, labels=None):
    """Greedy, best first; 0/0 is no overlap."""
    overlap = box_iou(boxes, boxes) > threshold
    if labels is not None:
        overlap &= labels[:, None] == labels[None, :]
    keep = []
    for i in range(len(boxes)):
        if len(keep) < most and not overlap[i, keep].any():
            keep.append(i)
    return torch.tensor(keep, dtype=torch.long)


# ---- images ----

def procedural(seed, height, width):
    """Ellipses of many greys over smooth and fine noise: nothing like anatomy, but as varied."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    grey = np.full((height, width), rng.uniform(0, 60))
    for _ in range(rng.integers(8, 25)):
        centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.02, 0.4, 2)
        turn, level = rng.uniform(0, np.pi), rng.uniform(0, 255)
        dx, dy = x - centre[0], y - centre[1]
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        inside = (u / radius[0])**2 + (v / radius[1])**2 < 1
        grey[inside] = rng.uniform(0.3, 1) * level + rng.uniform(0, 0.5) * grey[inside]
    waves = rng.uniform(-40, 40, (4, 2))
    for wave in waves:
        grey += 6 * np.sin(x * wave[0] + y * wave[1])
    grey += rng.normal(0, rng.uniform(1, 15), grey.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def network_input(image, dtype):
    """Standardised, longer side to 512, padded; and (height, width) of the slice in it."""
    x = torch.from_numpy(image.astype(np.float32) / 255).to(dtype)
    x = (x - x.mean()) / x.std()
    longer = max(x.shape)
    size = tuple(max(1, (2 * side * SIDE + longer) // (2 * longer)) for side in x.shape)
    x = x[None, None]
    if size != tuple(image.shape):
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return F.pad(x, (0, SIDE - size[1], 0, SIDE - size[0])), size


# ---- records ----

def save(path, tensors, metadata):
    kinds = {"float32": "F32", "int64": "I64", "uint8": "U8"}
    header, offset, blobs = {"__metadata__": metadata}, 0, []
    for name, value in tensors.items():
        blob = np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": kinds[str(value.dtype)], "shape": list(value.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def as_metadata(config):
    return {k: ",".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in config.items()}


def disagreement(a, b):
    """What must not hang on rounding: which boxes, which labels, in which order; or None."""
    for name in ("det_labels", "roi_labels", "roi_padded"):
        if a[name].tolist() != b[name].tolist():
            return name + " differ"
    for name in ("det_boxes", "roi_boxes"):
        if len(a[name]) and (a[name] - b[name]).abs().max() > 0.02:
            return name + " differ"
    distance = torch.cdist(a["proposals"].double(), b["proposals"], p=float("inf"))
    lonely = (distance.min(0)[0] > 0.02).sum() + (distance.min(1)[0] > 0.02).sum()
    many = 0.01 * len(a["proposals"])
    return f"{lonely} proposals have no counterpart" if lonely > many else None


def gather_statistics(network, seed, images):
    """Running statistics that suit images: the averages over a few."""
    for norm in network.norms().values():
        norm.reset_running_stats()
    network.set_modes("average", "average")
    for i in range(images):
        network(*network_input(procedural(seed * 1000 + i, 256, 256), torch.float32))


def kept_statistics(network, modes):
    """What a record has to hold of the norms: the statistics of those that run on them."""
    statistics = {}
    for name, norm in network.norms().items():
        if modes[not name.startswith("backbone.")] == "running":
            statistics[f"bn/{name}.running_mean"] = norm.running_mean.clone()
            statistics[f"bn/{name}.running_var"] = norm.running_var.clone()
    return statistics


def record(config, seed, image, calibrate=3):
    torch.set_grad_enabled(False)
    network = Network(config)
    network.fill(seed)
    modes = config["backbone_batch_norm"], config["attention_batch_norm"]
    if "running" in modes:
        gather_statistics(network, seed, calibrate)
    network.set_modes(*modes)
    statistics = kept_statistics(network, modes)
    single = network(*network_input(image, torch.float32))
    plane, size = network_input(image, torch.float64)
    double = network.double()(plane, size)
    features = double["features"][None]
    torch.manual_seed(seed)
    shaken = features + 1e-5 * features.abs().max() * (2 * torch.rand_like(features) - 1)
    problem = disagreement(single, double) or disagreement(network(plane, size, shaken), double)
    worst = max((single[k].double() - double[k]).abs().max() / double[k].abs().max().clamp(1e-30)
                for k in single if single[k].dtype == torch.float32 and single[k].numel()
                and single[k].shape == double[k].shape)
    return single, statistics, problem, float(worst)


def write(path, config, seed, image, skip=(), **more):
    out, statistics, problem, worst = record(config, seed, image)
    print(f"{path}: {len(out['proposals'])} proposals, {len(out['det_boxes'])} detections, "
          f"{len(out['roi_boxes']) - int(out['roi_padded'].sum())} regions, "
          f"features to {out['features'].abs().max():.3g}, float32 to float64 {worst:.1e}"
          f"{', REFUSED: ' + problem if problem else ''}")
    if problem:
        return False
    tensors = {"image_u8": image}
    tensors.update({k: v.numpy() for k, v in statistics.items()})
    for name, value in out.items():
        value = value.to(torch.uint8) if value.dtype == torch.bool else value
        if name not in skip:
            tensors[name] = value.numpy()
    metadata = dict(as_metadata(config), seed=str(seed), **more)
    if skip:
        metadata["tensors"] = "reduced"
    save(path, tensors, metadata)
    return True


SMALL = {"out_channels": 32, "representation": 48, "anchor_sizes": [16, 48, 128],
         "anchor_ratios": [0.5, 1, 2], "rpn_pre_nms_top_n": 120, "rpn_post_nms_top_n": 60,
         "box_detections_per_img": 5}

# name: settings, seed, image (seed, height, width)
COMMITTED = {
    "running": (dict(SMALL), 101, (1, 150, 200)),
    "batch": (dict(SMALL, backbone_batch_norm="batch", attention_batch_norm="batch", beta=8,
                   anchor_sizes=[64, 128], out_channels=64, box_score_thresh=0.3), 102, (2, 160, 160)),
    "mixed": (dict(SMALL, attention_batch_norm="batch", beta=24, box_nms_thresh=0.3,
                   rpn_nms_thresh=0.6, anchor_ratios=[0.5, 1]), 103, (3, 180, 90)),
    "padded": (dict(SMALL, beta=16, region_nms_thresh=0.02, rpn_pre_nms_top_n=30,
                    rpn_post_nms_top_n=4, rpn_nms_thresh=0.4), 104, (4, 120, 120)),
    "empty": (dict(SMALL, rpn_pre_nms_top_n=2, rpn_post_nms_top_n=2, box_score_thresh=0), 105,
              (5, 400, 1)),
}


def committed():
    for name, (settings, seed, image) in COMMITTED.items():
        path = os.path.join(HERE, f"infer_{name}.safetensors")
        if not write(path, dict(DEFAULTS, **settings), seed, procedural(*image), skip=("input",)):
            sys.exit(f"{name}: choose another seed")


def add_settings(parser):
    parser.add_argument("--batch-norm", help="both of backbone_batch_norm and attention_batch_norm")
    for key, value in DEFAULTS.items():
        parser.add_argument("--" + key.replace("_", "-"), default=value, type=(
            (lambda text: [float(v) for v in text.split(",")]) if isinstance(value, list)
            else type(value)))


def settings_of(args):
    config = {key: getattr(args, key) for key in DEFAULTS}
    if args.batch_norm:
        config["backbone_batch_norm"] = config["attention_batch_norm"] = args.batch_norm
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="folder for one full record")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--image", type=int, default=1, help="seed of the image")
    parser.add_argument("--size", default="512x512", help="of the image, height x width")
    add_settings(parser)
    args = parser.parse_args()
    if not args.out:
        return committed()
    config = settings_of(args)
    image = procedural(args.image, *map(int, args.size.split("x")))
    name = f"infer_{config['backbone']}_{config['backbone_batch_norm']}_{args.seed}_{args.image}"
    os.makedirs(args.out, exist_ok=True)
    if not write(os.path.join(args.out, name + ".safetensors"), config, args.seed, image):
        sys.exit(1)


if __name__ == "__main__":
    main()
