#!/usr/bin/env python3
"""Golden numbers for model/eval, computed here a second time from the metrics' definitions.

Nothing is shared with the C code: areas under curves are counted pair by pair, bootstrap samples
are really copied, COCO's average precision follows the definition of COCOeval step by step.

    python3 tests/golden/make_metrics.py     writes metrics_*.h beside this file
"""
import math
import os
import random

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
NAN = float("nan")
M64 = (1 << 64) - 1


# ---- the project's random numbers: xoshiro256** seeded by splitmix64, Lemire's rejection ----

class Rng:
    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & M64
            z = seed
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
            self.s.append(z ^ (z >> 31))

    @staticmethod
    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & M64

    def u64(self):
        s = self.s
        result = (self.rotl((s[1] * 5) & M64, 7) * 9) & M64
        t = (s[1] << 17) & M64
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = self.rotl(s[3], 45)
        return result

    def below(self, n):
        while True:
            m = (self.u64() >> 32) * n
            if (m & 0xFFFFFFFF) >= (1 << 32) % n:
                return m >> 32


def bootstrap(statistics, n, groups, seed, resamples, level=0.95):
    """[(value, low, high)] of statistics(list of image indices), low = high = NAN: no interval."""
    groups = list(range(n)) if groups is None else groups
    names = list(dict.fromkeys(groups))
    members = {g: [i for i in range(n) if groups[i] == g] for g in names}
    values = statistics(list(range(n)))
    rows = []
    if len(names) >= 2:
        rng = Rng(seed)
        for _ in range(resamples):
            picked = [names[rng.below(len(names))] for _ in names]
            rows.append(statistics(sorted(i for g in picked for i in members[g])))
    out = []
    for k, value in enumerate(values):
        column = [row[k] for row in rows if not math.isnan(row[k])]
        if math.isnan(value) or not column or 5 * len(column) < 4 * resamples:
            out.append((value, NAN, NAN))
        else:
            out.append((value,
                        float(np.percentile(column, 50 * (1 - level))),
                        float(np.percentile(column, 50 * (1 + level)))))
    return out, len(names)


# ---- writing C ----

def number(x):
    if isinstance(x, (int, np.integer)):
        return str(int(x))
    return "NAN" if math.isnan(x) else repr(float(x))


class Header:
    def __init__(self, name):
        self.path = os.path.join(HERE, name)
        self.text = "/* Made by tests/golden/make_metrics.py. */\n#include <math.h>\n#include <stdint.h>\n"

    def array(self, kind, name, values):
        flat = [number(v) for v in values]
        lines, line = [], "   "
        for v in flat:
            if len(line) + len(v) + 2 > 98:
                lines.append(line)
                line = "   "
            line += " " + v + ","
        lines.append(line)
        self.text += "\nstatic const %s %s[%d] = {\n%s\n};\n" % (
            kind, name, len(flat), "\n".join(lines))

    def value(self, name, value):
        self.text += "\nenum { %s = %d };\n" % (name, value)

    def estimates(self, name, estimates):
        self.array("double", name, [v for e in estimates for v in e])

    def write(self):
        with open(self.path, "w") as f:
            f.write(self.text)


# ---- classification ----

def div(a, b):
    return a / b if b else NAN


def auroc(pairs):
    pos = [s for s, y in pairs if y == 1]
    neg = [s for s, y in pairs if y == 0]
    won = sum(1.0 if p > q else 0.5 if p == q else 0.0 for p in pos for q in neg)
    return div(won, len(pos) * len(neg))


def average_precision(pairs):
    positives = sum(y for _, y in pairs)
    if positives == 0:
        return NAN
    area, before = 0.0, 0.0
    for threshold in sorted({s for s, _ in pairs}, reverse=True):
        above = [y for s, y in pairs if s >= threshold]
        recall, precision = sum(above) / positives, sum(above) / len(above)
        area += (recall - before) * precision
        before = recall
    return area


def class_statistics(labels, probs, predicted, sample):
    """Seven numbers a class, then F1, accuracy, precision, balanced accuracy."""
    out, sens, prec, present = [], [], [], []
    for c in range(3):
        known = [i for i in sample if labels[i][c] >= 0]
        tp = sum(labels[i][c] == 1 and predicted[i] == c for i in known)
        fn = sum(labels[i][c] == 1 and predicted[i] != c for i in known)
        fp = sum(labels[i][c] == 0 and predicted[i] == c for i in known)
        tn = sum(labels[i][c] == 0 and predicted[i] != c for i in known)
        pairs = [(probs[i][c] if predicted[i] >= 0 else -math.inf, labels[i][c]) for i in known]
        answered = [i for i in known if predicted[i] >= 0]
        brier = div(sum((probs[i][c] - labels[i][c]) ** 2 for i in answered), len(answered))
        out += [div(tp, tp + fn), div(tn, tn + fp), div(tp, tp + fp),
                div(tp, tp + 0.5 * (fp + fn)) if tp + fn else NAN, auroc(pairs), average_precision(pairs), brier]
        sens.append(div(tp, tp + fn))
        prec.append(div(tp, tp + fp))
        present.append(sum(labels[i][c] == 1 for i in sample))
    total = sum(present)
    if total == 0:
        return out + [NAN] * 4
    f1 = precision = accuracy = 0.0
    for c in range(3):
        if present[c] == 0:
            continue
        w = present[c] / total
        if sens[c] > 0:  # then TP > 0, and precision exists
            f1 += 2 * w * sens[c] * prec[c] / (sens[c] + prec[c])
        accuracy += w * sens[c]
        precision += w * prec[c]
    balanced = float(np.mean([sens[c] for c in range(3) if present[c]]))
    return out + [f1, accuracy, precision, balanced]


def calibration(labels, probs, predicted, c):
    rows = [(probs[i][c], labels[i][c]) for i in range(len(labels))
            if labels[i][c] >= 0 and predicted[i] >= 0]
    flat, ece = [], 0.0
    for b in range(10):
        inside = [r for r in rows if min(int(r[0] * 10), 9) == b]
        p = float(np.mean([r[0] for r in inside])) if inside else 0.0
        f = float(np.mean([r[1] for r in inside])) if inside else 0.0
        flat += [len(inside), p, f]
        ece += len(inside) / max(len(rows), 1) * abs(p - f)
    return flat + [ece]


def classification_case(h, name, labels, probs, predicted, groups, seed, resamples):
    n = len(labels)
    probs = [[float(np.float32(p)) for p in row] for row in probs]
    h.value(name + "_images", n)
    h.array("int8_t", name + "_labels", [v for row in labels for v in row])
    h.array("float", name + "_probabilities", [v for row in probs for v in row])
    h.array("int8_t", name + "_predicted", predicted)
    if groups:
        h.array("int32_t", name + "_groups", groups)
    confusion = [0] * 12
    for i in range(n):
        if 1 in labels[i]:
            confusion[4 * labels[i].index(1) + (predicted[i] if predicted[i] >= 0 else 3)] += 1
    h.array("int64_t", name + "_confusion", confusion)
    estimates, used = bootstrap(lambda s: class_statistics(labels, probs, predicted, s), n, groups,
                                seed, resamples)
    h.value(name + "_drawn", used)
    h.value(name + "_seed", seed)
    h.value(name + "_resamples", resamples)
    h.estimates(name + "_estimates", estimates)
    for c in range(3):
        h.array("double", "%s_calibration_%d" % (name, c), calibration(labels, probs, predicted, c))


def make_classification():
    h = Header("metrics_classification.h")
    r = random.Random(20)
    labels, probs, predicted = [], [], []
    for _ in range(60):
        true = r.choice([0, 0, 0, 0, 1, 1, 1, 2, 2])
        p = [min(max(r.gauss(0.62 if c == true else 0.35, 0.2), 0), 1) for c in range(3)]
        p = [round(16 * v) / 16 for v in p]  # many ties
        labels.append([int(c == true) for c in range(3)])
        probs.append(p)
        predicted.append(p.index(max(p)))
    classification_case(h, "full", labels, probs, predicted, None, 7, 200)

    r = random.Random(21)
    labels, probs, predicted, groups = [], [], [], []
    for i in range(50):
        true = r.choice([0, 1, 2, 2])
        p = [r.random() * (0.6 if c != true else 1) for c in range(3)]
        row = [int(c == true) for c in range(3)]
        if i % 5 == 0 and true != 2:
            row = [-1, -1, 0]
        if i == 13:
            row = [-1, -1, -1]
        answer = p.index(max(p))
        if i % 17 == 3:
            answer, p = -1, [0.9, 0.9, 0.9]  # a number that must not count
        labels.append(row)
        probs.append(p)
        predicted.append(answer)
        groups.append(r.choice([40, 3, 17, 5, 8, 9, 11]))
    classification_case(h, "partial", labels, probs, predicted, groups, 99, 150)

    classification_case(h, "single", [[0, 1, 0]], [[0.25, 0.75, 0.125]], [1], None, 1, 20)
    # class 1 is nowhere, class 2 never predicted, class 0 has no negatives but one
    classification_case(h, "absent", [[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]],
                        [[0.5, 0.5, 0.25], [0.75, 0.1, 0.25], [0.5, 0.2, 0.2], [0.9, 0.3, 0.2]],
                        [0, 0, 0, 0], None, 5, 60)
    h.write()


# ---- segmentation ----

REGIONS = [{1}, {2}, {3}, {2, 3}, {1, 2, 3}]


def region_statistics(pairs, sample):
    out = []
    for region in REGIONS:
        inter = truth = pred = 0
        dices, ious = [], []
        for i in sample:
            t = np.isin(pairs[i][0], list(region))
            p = np.isin(pairs[i][1], list(region))
            a, b, c = int((t & p).sum()), int(t.sum()), int(p.sum())
            inter, truth, pred = inter + a, truth + b, pred + c
            if b + c:
                dices.append(2 * a / (b + c))
                ious.append(a / int((t | p).sum()))
        out += [div(2 * inter, truth + pred), div(inter, truth + pred - inter),
                float(np.mean(dices)) if dices else NAN, float(np.mean(ious)) if ious else NAN]
    return out


def make_segmentation():
    h = Header("metrics_segmentation.h")
    rng = np.random.RandomState(4)
    pairs = []
    for i in range(9):
        truth = np.zeros((6, 7), np.uint8)
        if i != 4:
            truth[1:5, 1:6] = 1
        if i % 3 == 0:
            truth[2:4, 2:2 + i % 4] = 2
        if i in (3, 6):
            truth[4, 3:5] = 3
        pred = truth.copy()
        noise = rng.rand(6, 7) < 0.2
        pred[noise] = rng.randint(0, 4 if i % 2 else 2, noise.sum())
        if i == 4:
            pred[:] = 0
        pairs.append((truth, pred))
    groups = [0, 0, 1, 1, 2, 3, 3, 4, 4]
    h.value("seg_images", len(pairs))
    h.value("seg_pixels", 42)
    h.array("uint8_t", "seg_truth", [v for t, _ in pairs for v in t.ravel()])
    h.array("uint8_t", "seg_predicted", [v for _, p in pairs for v in p.ravel()])
    h.array("int32_t", "seg_groups", groups)
    estimates, _ = bootstrap(lambda s: region_statistics(pairs, s), len(pairs), None, 3, 120)
    h.estimates("seg_by_image", estimates)
    estimates, _ = bootstrap(lambda s: region_statistics(pairs, s), len(pairs), groups, 3, 120)
    h.estimates("seg_by_group", estimates)
    h.write()


# ---- average precision ----

WIDTH, HEIGHT = 23, 17


def paint(rects):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for x0, y0, x1, y1 in rects:
        mask[y0:y1, x0:x1] = True
    return mask


def iou(a, b):
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def above(a, b, twentieths):
    """IoU > twentieths / 20, without rounding."""
    return 20 * int((a & b).sum()) > twentieths * int((a | b).sum())


def image_ap(truths, preds, threshold_index):
    """The paper's AP of one image; truths [(label, mask)], preds [(label, score, mask)]."""
    if not truths and not preds:
        return 1.0
    if not truths or not preds:
        return 0.0
    order = sorted(range(len(preds)), key=lambda k: -preds[k][1])
    matched = np.zeros(len(preds), bool)
    for label, mask in truths:
        candidates = [(iou(preds[k][2], mask), -rank) for rank, k in enumerate(order)
                      if preds[k][0] == label and above(preds[k][2], mask, 10 + threshold_index)]
        if candidates:
            matched[-max(candidates)[1]] = True
    hits = np.cumsum(matched)
    precision = np.concatenate([[0], hits / (np.arange(len(preds)) + 1), [0]])
    recall = np.concatenate([[0], hits / len(truths), [1]])
    for k in range(len(precision) - 2, -1, -1):
        precision[k] = max(precision[k], precision[k + 1])
    return float(sum((recall[k] - recall[k - 1]) * precision[k]
                     for k in range(1, len(recall)) if recall[k] != recall[k - 1]))


COCO_IOUS = np.linspace(.5, 0.95, int(np.round((0.95 - .5) / .05)) + 1, endpoint=True)
COCO_RECALLS = np.linspace(.0, 1.00, int(np.round((1.00 - .0) / .01)) + 1, endpoint=True)


def coco_match(truths, preds):
    """Of one image and class: scores, and a (thresholds, predictions) table of matches."""
    order = np.argsort([-p[1] for p in preds], kind="mergesort")[:100]
    found = np.zeros((len(COCO_IOUS), len(order)), bool)
    for t, threshold in enumerate(COCO_IOUS):
        used = [False] * len(truths)
        for d, k in enumerate(order):
            best, match = min(threshold, 1 - 1e-10), -1
            for g, (_, mask) in enumerate(truths):
                if used[g]:
                    continue
                overlap = iou(preds[k][2], mask)
                if overlap < best:
                    continue
                best, match = overlap, g
            if match >= 0:
                used[match] = True
                found[t, d] = True
    return [preds[k][1] for k in order], found


def coco_ap(per_image):
    """per_image: [(number of truths, scores, found, image)] -> AP[10], AR over thresholds."""
    truths = sum(e[0] for e in per_image)
    if truths == 0:
        return [NAN] * 10, NAN
    # Copies of an image in a bootstrap sample enter together; else this is the order of images.
    rows = [(-s, e[3], d, copy, e[2][:, d]) for copy, e in enumerate(per_image)
            for d, s in enumerate(e[1])]
    rows.sort(key=lambda row: row[:4])
    aps, recalls = [], []
    for t in range(10):
        tp = np.cumsum([row[4][t] for row in rows]).astype(float)
        fp = np.cumsum([not row[4][t] for row in rows]).astype(float)
        rc = tp / truths
        pr = tp / (fp + tp + np.spacing(1)) if len(rows) else np.zeros(0)
        for i in range(len(pr) - 1, 0, -1):
            if pr[i] > pr[i - 1]:
                pr[i - 1] = pr[i]
        q = np.zeros(101)
        for ri, pi in enumerate(np.searchsorted(rc, COCO_RECALLS, side="left")):
            if pi < len(pr):
                q[ri] = pr[pi]
        aps.append(float(q.mean()))
        recalls.append(float(rc[-1]) if len(rows) else 0.0)
    return aps, float(np.mean(recalls))


def ap_table(images):
    """Per image what does not change between bootstrap samples."""
    table = []
    for number_, (truths, preds) in enumerate(images):
        per_image = {}
        for c in range(4):
            ts = [t for t in truths if c in (0, t[0])]
            ps = [p for p in preds if c in (0, p[0])]
            if c == 0 or ts or ps:
                per_image[c] = [image_ap(ts, ps, k) for k in range(10)]
        coco = {}
        for c in range(1, 4):
            ts = [t for t in truths if t[0] == c]
            scores, found = coco_match(ts, [p for p in preds if p[0] == c])
            coco[c] = (len(ts), scores, found, number_)
        table.append((per_image, coco))
    return table


def ap_statistics(table, sample):
    """Four times eleven per image, four times eleven COCO, four recalls."""
    out = []
    for c in range(4):
        rows = [table[i][0][c] for i in sample if c in table[i][0]]
        at = [float(v) for v in np.mean(rows, axis=0)] if rows else [NAN] * 10
        out += at + [float(np.mean(at))]
    coco, recall = [], []
    for c in range(1, 4):
        at, ar = coco_ap([table[i][1][c] for i in sample])
        coco.append(at)
        recall.append(ar)
    defined = [at for at in coco if not math.isnan(at[0])]
    mean = [float(v) for v in np.mean(defined, axis=0)] if defined else [NAN] * 10
    for at in [mean] + coco:
        out += at + [float(np.mean(at))]
    known = [r for r in recall if not math.isnan(r)]
    return out + [float(np.mean(known)) if known else NAN] + recall


def ap_case(h, name, images, groups, seed, resamples):
    h.value(name + "_images", len(images))
    h.array("int", name + "_truths_of", [len(t) for t, _ in images])
    h.array("int", name + "_predictions_of", [len(p) for _, p in images])
    truths = [t for ts, _ in images for t in ts]
    preds = [p for _, ps in images for p in ps]
    # label, then two rectangles x0 y0 x1 y1 whose union is the mask
    h.array("int", name + "_truths", [v for l, rs in truths for v in [l] + sum(rs, [])])
    h.array("int", name + "_predictions", [v for l, _, rs in preds for v in [l] + sum(rs, [])])
    h.array("float", name + "_scores", [s for _, s, _ in preds])
    h.array("int32_t", name + "_groups", groups)
    painted = [([(l, paint(rs)) for l, rs in ts],
                [(l, float(np.float32(s)), paint(rs)) for l, s, rs in ps]) for ts, ps in images]
    table = ap_table(painted)
    estimates, _ = bootstrap(lambda s: ap_statistics(table, s), len(images), groups, seed,
                             resamples)
    h.value(name + "_seed", seed)
    h.value(name + "_resamples", resamples)
    h.estimates(name + "_estimates", estimates)


def make_ap():
    h = Header("metrics_ap.h")
    r = random.Random(5)

    def rect():
        x, y = r.randrange(WIDTH - 4), r.randrange(HEIGHT - 4)
        return [x, y, min(x + r.randrange(3, 11), WIDTH), min(y + r.randrange(3, 9), HEIGHT)]

    def nudge(v):
        j = [a + r.choice([-1, 0, 0, 0, 0, 1]) for a in v]
        return [max(j[0], 0), max(j[1], 0), min(max(j[2], j[0] + 1), WIDTH),
                min(max(j[3], j[1] + 1), HEIGHT)]

    images = []
    for i in range(16):
        truths = [(r.choice([1, 2, 2, 3]), [rect(), rect()]) for _ in range(r.randrange(1, 6))]
        preds = []
        for label, rects in truths:
            for _ in range(r.randrange(0, 3)):
                guess = label if r.random() < 0.85 else r.choice([1, 2, 3])
                preds.append((guess, round(r.random(), 1), [nudge(v) for v in rects]))
        for _ in range(r.randrange(0, 3)):
            preds.append((r.choice([1, 2, 3]), round(r.random() * 0.7, 1), [rect(), rect()]))
        if i % 4 == 1:  # a copy of a prediction: equal overlaps, maybe equal scores
            if preds:
                preds.append((preds[0][0], 0.5, preds[0][2]))
        r.shuffle(preds)
        images.append((truths, preds))
    images[3] = ([], images[3][1])
    images[7] = (images[7][0], [])
    images[10] = ([], [])
    ap_case(h, "mixed", images, [0, 0, 1, 2, 3, 4, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11], 17, 60)

    # one image, no consolidation, more than 100 predictions of a class
    full = [0, 0, 12, 10]
    truths = [(1, [full, full]), (2, [[14, 2, 20, 9], [13, 3, 15, 5]])]
    preds = [(1, round(0.9 - 0.005 * k, 3), [[0, 0, 1 + k % 12, 10], [0, 0, 1, 1]])
             for k in range(120)]
    preds += [(2, 0.4, [[14, 2, 20, 9], [13, 3, 15, 5]]), (2, 0.4, [[14, 2, 20, 8], [0, 0, 1, 1]])]
    ap_case(h, "crowded", [(truths, preds)], [0], 1, 10)
    h.write()


if __name__ == "__main__":
    make_classification()
    make_segmentation()
    make_ap()
