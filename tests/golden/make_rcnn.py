#!/usr/bin/env python3
"""Writes rcnn_*.h beside itself: what torchvision computes for small fixed inputs.

Needs torch and torchvision (made with 1.13 and 0.14). The headers are committed, so that the tests
need neither. Run it again only to change the cases; the seeds are fixed, so a run changes nothing else.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.detection import _utils as det_utils
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops.boxes import _batched_nms_vanilla

HERE = os.path.dirname(os.path.abspath(__file__))


class Header:
    def __init__(self, name):
        self.path = os.path.join(HERE, f"rcnn_{name}.h")
        self.lines = ["/* Written by make_rcnn.py: torchvision's answers. */", "/* clang-format off */"]

    def constant(self, name, value):
        self.lines.append(f"enum {{ {name} = {int(value)} }};")

    def real(self, name, value):
        self.lines.append(f"static const double {name} = {float(value):.17g};")

    def array(self, name, values, kind=None):
        values = np.asarray(values)
        kind = kind or ("float" if values.dtype.kind == "f" else "int")
        if kind == "float":
            words = [f"{v:.9g}f" if ("." in f"{v:.9g}" or "e" in f"{v:.9g}") else f"{v:.9g}" for v in values.ravel()]
        else:
            words = [str(int(v)) for v in values.ravel()]
        self.lines.append(f"static const {kind} {name}[{len(words)}] = {{ /* {'x'.join(map(str, values.shape))} */")
        line = ""
        for w in words:
            if len(line) + len(w) > 97:
                self.lines.append(line)
                line = ""
            line += w + ","
        self.lines += [line, "};"]

    def write(self):
        with open(self.path, "w") as f:
            f.write("\n".join(self.lines) + "\n")


def boxes(rng, n, side, least, most):
    centre, size = rng.uniform(0, side, (n, 2)), rng.uniform(least, most, (n, 2))
    return np.concatenate([centre - size / 2, centre + size / 2], 1).astype(np.float32)


def as_rois(b):
    b = torch.tensor(b)
    return torch.cat([torch.zeros(len(b), 1), b], 1)


def make_box():
    rng, h = np.random.default_rng(1), Header("box")
    n = 24
    a, b = boxes(rng, n, 100, 5, 80), boxes(rng, n, 100, 5, 80)
    b[0], b[1, 2] = a[0], b[1, 0]
    h.constant("golden_pairs", n)
    h.array("golden_a", a)
    h.array("golden_b", b)
    h.array("golden_iou", np.diag(torchvision.ops.box_iou(torch.tensor(a), torch.tensor(b)).numpy()))
    deltas = (rng.standard_normal((n, 4)) * 3).astype(np.float32)
    b[1, 2] = b[1, 0] + 1
    h.array("golden_truth", b)
    h.array("golden_delta", deltas)
    for name, weights in (("unit", (1.0, 1.0, 1.0, 1.0)), ("head", (10.0, 10.0, 5.0, 5.0))):
        coder = det_utils.BoxCoder(weights)
        decoded = coder.decode_single(torch.tensor(deltas), torch.tensor(a))
        h.array(f"golden_decoded_{name}", decoded.numpy())
        h.array(f"golden_clipped_{name}", torchvision.ops.clip_boxes_to_image(decoded, (80, 90)).numpy())
        h.array(f"golden_encoded_{name}", coder.encode_single(torch.tensor(b), torch.tensor(a)).numpy())
    n = 150
    b, scores, labels = boxes(rng, n, 100, 10, 60), rng.permutation(n).astype(np.float32), rng.integers(1, 4, n)
    h.constant("golden_nms_n", n)
    h.array("golden_nms_boxes", b)
    h.array("golden_nms_scores", scores)
    h.array("golden_nms_labels", labels)
    t = torch.tensor
    for percent in (25, 50, 75):
        plain = torchvision.ops.nms(t(b), t(scores), percent / 100).numpy()
        per_class = _batched_nms_vanilla(t(b), t(scores), t(labels), percent / 100).numpy()
        h.array(f"golden_nms_{percent}", plain)
        h.array(f"golden_nms_labels_{percent}", per_class)
    h.write()


def make_anchor():
    h = Header("anchor")
    for name, sizes, ratios, width, height in (
        ("model", (2, 4, 8, 16, 32), (0.1, 0.25, 0.5, 1.0, 1.5, 2.0), 3, 2),
        ("large", (32, 64, 128), (0.5, 1.0, 2.0), 2, 1),
    ):
        g = AnchorGenerator((sizes,), (ratios,))
        g.set_cell_anchors(torch.float32, "cpu")
        a = g.grid_anchors([[height, width]], [[torch.tensor(32), torch.tensor(32)]])[0].numpy()
        h.array(f"golden_{name}", a)
    h.write()


def make_roi_align():
    rng, h = np.random.default_rng(2), Header("roi_align")
    height, width, channels, pooled = 6, 5, 3, 3
    features = rng.standard_normal((height, width, channels)).astype(np.float32)
    rois = boxes(rng, 8, 160, 20, 120)
    rois[0] = [0, 0, 160, 192]        # the whole map
    rois[1] = [40, 50, 40, 50]        # no area
    rois[2] = [300, 300, 400, 380]    # off the map
    rois[3] = [-100, -90, 20, 30]     # across its corner
    rois[4] = [90, 70, 60, 30]        # inverted
    h.array("golden_features", features)
    h.array("golden_rois", rois)
    grad = rng.standard_normal((len(rois), pooled, pooled, channels)).astype(np.float32)
    h.array("golden_grad_out", grad)
    for name, ratio in (("two", 2), ("adaptive", -1)):
        x = torch.tensor(features.transpose(2, 0, 1)[None].copy(), requires_grad=True)
        y = torchvision.ops.roi_align(x, as_rois(rois), (pooled, pooled), 1 / 32, ratio)
        y.backward(torch.tensor(grad.transpose(0, 3, 1, 2).copy()))
        h.array(f"golden_out_{name}", y.detach().numpy().transpose(0, 2, 3, 1))
        h.array(f"golden_grad_{name}", x.grad[0].numpy().transpose(1, 2, 0))
    mask = (F.avg_pool2d(torch.tensor(rng.random((1, 40, 36))), 7, 1, 3)[0].numpy() > 0.5).astype(np.int64)
    rois = np.array([[3.2, 4.7, 33.1, 38.9], [10, 10, 13, 12.5], [-6, 20, 20, 60]], np.float32)
    h.array("golden_plane", mask, "unsigned char")
    h.array("golden_mask_rois", rois)
    planes = torch.tensor(mask, dtype=torch.float32)[None, None]
    h.array("golden_mask_targets", torchvision.ops.roi_align(planes, as_rois(rois), (7, 7), 1.0)[:, 0].numpy())
    h.write()


def make_paste():
    rng, h = np.random.default_rng(3), Header("paste")
    side, width, height = 14, 30, 26
    noise = torch.tensor(rng.random((1, side, side)), dtype=torch.float32)
    mask = F.avg_pool2d(noise, 5, 1, 2)[0]
    b = np.array(
        [[4.3, 5.1, 24.9, 20.2], [0, 0, 30, 26], [-7.5, -3.2, 12.4, 40.1], [10.2, 11.3, 10.9, 12.2], [20, 3, 33, 9]],
        np.float32,
    )
    n = len(b)
    planes = paste_masks_in_image(mask.expand(n, 1, side, side), torch.tensor(b), (height, width))[:, 0]
    h.array("golden_mask", mask.numpy())
    h.array("golden_boxes", b)
    h.array("golden_planes", (planes >= 0.5).numpy().astype(np.int64), "unsigned char")
    h.write()


def make_match():
    rng, h = np.random.default_rng(4), Header("match")
    truth, b = boxes(rng, 6, 100, 10, 50), boxes(rng, 300, 100, 10, 50)
    b[:40] = truth[rng.integers(0, 6, 40)] + rng.uniform(-3, 3, (40, 4)).astype(np.float32)
    b[50] = b[51] = truth[4] + 9      # equals, one of which may be the best
    quality = torchvision.ops.box_iou(torch.tensor(truth), torch.tensor(b))
    h.array("golden_truth", truth)
    h.array("golden_boxes", b)
    for name, high, low, best in (("rpn", 0.7, 0.3, True), ("head", 0.75, 0.5, False)):
        h.array(f"golden_{name}", det_utils.Matcher(high, low, best)(quality).numpy())
    h.write()


def make_loss():
    rng, h = np.random.default_rng(5), Header("loss")

    def result(name, loss, x):
        h.real(f"golden_{name}", loss.item())
        h.array(f"golden_{name}_grad", torch.autograd.grad(loss, x)[0].numpy())

    def normal(*shape, spread=2.0):
        v = (rng.standard_normal(shape) * spread).astype(np.float32)
        return v, torch.tensor(v, requires_grad=True)

    n = 20
    v, x = normal(n, spread=5.0)
    target, chosen = rng.random(n).astype(np.float32), np.array([1, 4, 5, 9, 13, 19])
    h.array("golden_bce_logits", v)
    h.array("golden_bce_targets", target)
    h.array("golden_bce_selected", chosen)
    result("bce", F.binary_cross_entropy_with_logits(x[chosen], torch.tensor(target)[chosen]), x)

    v, x = normal(9, 4)
    labels = rng.integers(0, 4, 9)
    h.array("golden_softmax_logits", v)
    h.array("golden_softmax_labels", labels)
    h.array("golden_softmax_rows", F.softmax(x, 1).detach().numpy())
    result("softmax", F.cross_entropy(x, torch.tensor(labels)), x)

    v, x = normal(12, 4)
    rows = np.array([2, 3, 7, 11])
    target = (v[rows] + rng.standard_normal((4, 4)) * 1.5).astype(np.float32)
    h.array("golden_l1_deltas", v)
    h.array("golden_l1_rows", rows)
    h.array("golden_l1_targets", target)
    result("l1", F.l1_loss(x[rows], torch.tensor(target), reduction="sum") / 10, x)
    result("smooth_l1", F.smooth_l1_loss(x[rows], torch.tensor(target), beta=1.0, reduction="sum") / 10, x)

    v, x = normal(3, 4, 25)
    labels, target = np.array([1, 3, 2]), rng.random((3, 25)).astype(np.float32)
    h.array("golden_mask_logits", v)
    h.array("golden_mask_labels", labels)
    h.array("golden_mask_targets", target)
    result("mask", F.binary_cross_entropy_with_logits(x[np.arange(3), labels], torch.tensor(target)), x)
    h.write()


if __name__ == "__main__":
    make_box()
    make_anchor()
    make_roi_align()
    make_paste()
    make_match()
    make_loss()
