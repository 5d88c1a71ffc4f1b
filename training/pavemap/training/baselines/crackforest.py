"""CrackForest (Shi, Cui, Qi, Meng and Chen 2016): a random structured forest, then an SVM on its parts.

1. Trees on integral channel features give every place a token, a 16x16 drawing of the crack there; the
   tokens laid over each other are a map of votes (`structured_forest`).
2. The map is cut at a threshold and closed; its connected parts are crack candidates.
3. A candidate's crack descriptor is two histograms of the tokens on it: how often each kind of token
   occurs (statistical), and how often kinds stand side by side (neighbourhood). Kinds are clusters of
   the leaves' tokens.
4. An SVM on the descriptors keeps cracks from noise.

Each tree sees half of the training images. The threshold is chosen, and the SVM trained, on votes of
the trees that did not see an image, so that training images look as unknown ones will.
Simplified: 8 trees of 16,000 samples (the publication has no number; the toolbox it builds on a million).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.baselines.choosing import Fitted, Floats32, Mask, Pixels, f1_of
from pavemap.training.baselines.structured_forest import (
    SHRINK,
    TOKEN_PX,
    Tree,
    channels_of,
    grow,
    leaves,
    votes,
)
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingData
from pavemap.training.metrics import count

TREES = 8
SAMPLES_PER_TREE = 16_000
KINDS = 20
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
LEAST_PX = 30  # smaller candidates are noise without asking


@dataclass(frozen=True)
class Votes:
    """What a forest says of an image."""

    share: Floats32  # (H, W), share of tokens that say crack, 0 to 1
    kinds: NDArray[np.int64]  # (trees, h, w), the kind of each place's token


@dataclass(frozen=True)
class Forest:
    """The trees, the kind of every leaf's token, and which images each tree has seen."""

    trees: tuple[Tree, ...]
    kinds: tuple[NDArray[np.int64], ...]
    seen: NDArray[np.bool_]  # (trees, images)

    def votes(self, pixels: Pixels, *, trees: Sequence[int] | None = None) -> Votes:
        """The votes of all trees, or of some."""
        channels = channels_of(pixels)
        height, width = pixels.shape[:2]
        share = np.zeros((height, width), np.float32)
        kinds = []
        used = range(len(self.trees)) if trees is None else trees
        for index in used:
            found = leaves(channels, self.trees[index])
            share += votes(found, self.trees[index], height, width)
            kinds.append(self.kinds[index][found])
        return Votes(np.asarray(share / len(kinds), np.float32), np.stack(kinds))

    def unseen_votes(self, pixels: Pixels, image: int) -> Votes:
        """The votes on a training image of the trees that have not seen it."""
        return self.votes(pixels, trees=np.flatnonzero(~self.seen[:, image]).tolist())


def fit(
    images: Sequence[LabelledImage], *, seed: int = 0, samples_per_tree: int = SAMPLES_PER_TREE
) -> Fitted:
    """Train forest and SVM, and choose threshold and penalty, on `images`. Raises BadTrainingData."""
    from sklearn.svm import SVC

    if len(images) < 4:
        raise BadTrainingData("CrackForest needs at least four training images")
    forest = train_forest(images, seed=seed, samples_per_tree=samples_per_tree)
    found = [forest.unseen_votes(image.pixels, index) for index, image in enumerate(images)]
    by_threshold = [
        np.mean(
            [
                f1_of(_union(candidates(one, threshold), image.crack), image)
                for one, image in zip(found, images, strict=True)
            ]
        )
        for threshold in THRESHOLDS
    ]
    threshold = THRESHOLDS[int(np.argmax(by_threshold))]
    parts = [candidates(one, threshold) for one in found]
    described = np.array(
        [descriptor(one, part) for one, some in zip(found, parts, strict=True) for part in some]
    )
    real = np.array(
        [
            _is_crack(part, image)
            for image, some in zip(images, parts, strict=True)
            for part in some
        ],
        bool,
    )
    owner = np.repeat(np.arange(len(images)), [len(some) for some in parts])
    penalty, f1 = _best_penalty(images, parts, described, real, owner)
    judge = None
    if len(np.unique(real)) == 2:
        judge = SVC(C=penalty, class_weight="balanced").fit(described, real)

    def detect(pixels: Pixels) -> Mask:
        one = forest.votes(pixels)
        some = candidates(one, threshold)
        if judge is not None and some:
            kept = judge.predict(np.array([descriptor(one, part) for part in some]))
            some = [part for part, keep in zip(some, kept, strict=True) if keep]
        return _union(some, one.share > 0)

    return Fitted(
        detect=detect,
        parameters={"threshold": threshold, "svm_c": penalty, "trees": TREES, "seed": seed},
        training_f1=f1,
        tried=len(THRESHOLDS) + len(PENALTIES),
    )


def train_forest(
    images: Sequence[LabelledImage], *, seed: int, samples_per_tree: int = SAMPLES_PER_TREE
) -> Forest:
    """Grow the trees, each on a random half of the images, and cluster their tokens into kinds."""
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(seed)
    channels = [channels_of(image.pixels) for image in images]
    seen = _halves(len(images), rng)
    trees = []
    for half in seen:
        places, drawings = _samples(images, np.flatnonzero(half), rng, samples_per_tree)
        trees.append(grow(channels, places, drawings, rng=rng))
    tokens = np.concatenate([tree.drawing.reshape(len(tree.drawing), -1) for tree in trees])
    kinds = min(KINDS, len(np.unique(tokens, axis=0)))
    clusters = KMeans(kinds, n_init=1, random_state=seed).fit(tokens.astype(np.float32))
    ends = np.cumsum([len(tree.drawing) for tree in trees])[:-1]
    return Forest(tuple(trees), tuple(np.split(clusters.labels_.astype(np.int64), ends)), seen)


def candidates(found: Votes, threshold: float) -> list[Mask]:
    """The connected parts (H, W) of the closed map of votes, large ones only."""
    mask = (found.share > threshold).astype(np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    number, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    large = stats[:number, cv2.CC_STAT_AREA] >= LEAST_PX
    return [np.asarray(labels == part) for part in range(1, number) if large[part]]


def descriptor(found: Votes, part: Mask) -> NDArray[np.float64]:
    """The crack descriptor: histograms of kinds, and of kinds beside each other, roots of shares."""
    height, width = found.kinds.shape[1:]
    inside = part[: height * SHRINK : SHRINK, : width * SHRINK : SHRINK]
    single = np.bincount(found.kinds[:, inside].reshape(-1), minlength=KINDS)
    beside = np.zeros(KINDS * KINDS)
    for down, across in ((0, 1), (1, 0)):
        one = np.s_[: height - down, : width - across]
        other = np.s_[down:, across:]
        both = inside[one] & inside[other]
        pairs = np.sort([found.kinds[:, *one][:, both], found.kinds[:, *other][:, both]], axis=0)
        beside += np.bincount((pairs[0] * KINDS + pairs[1]).reshape(-1), minlength=KINDS**2)
    shares = [histogram / max(1, histogram.sum()) for histogram in (single, beside)]
    return np.asarray(np.sqrt(np.concatenate(shares)), np.float64)


def _best_penalty(
    images: Sequence[LabelledImage],
    parts: Sequence[list[Mask]],
    described: NDArray[np.float64],
    real: NDArray[np.bool_],
    owner: NDArray[np.int64],
) -> tuple[float, float]:
    """The penalty with the best mean F1 when each image's parts are judged by the others' SVM."""
    best, best_f1 = PENALTIES[0], -1.0
    ends = np.cumsum([len(some) for some in parts])[:-1]
    for penalty in PENALTIES:
        judged = np.split(_kept(penalty, described, real, owner), ends)
        f1 = 0.0
        for image, some, keep in zip(images, parts, judged, strict=True):
            whole = [part for part, wanted in zip(some, keep, strict=True) if wanted]
            f1 += f1_of(_union(whole, image.crack), image)
        if f1 / len(images) > best_f1:
            best, best_f1 = penalty, f1 / len(images)
    return best, best_f1


def _kept(
    penalty: float,
    described: NDArray[np.float64],
    real: NDArray[np.bool_],
    owner: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which parts SVMs keep that haven't seen their images; all, where the others are of one class."""
    from sklearn.model_selection import GroupKFold
    from sklearn.svm import SVC

    kept = np.ones(len(real), bool)
    if np.bincount(real, minlength=2).min() < 4 or len(np.unique(owner)) < 4:
        return kept
    for seen, unseen in GroupKFold(4).split(described, real, owner):
        if len(np.unique(real[seen])) == 2:
            svm = SVC(C=penalty, class_weight="balanced").fit(described[seen], real[seen])
            kept[unseen] = svm.predict(described[unseen])
    return kept


def _samples(
    images: Sequence[LabelledImage],
    used: NDArray[np.int64],
    rng: np.random.Generator,
    samples: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Half of the places by a crack, half anywhere; with the truth drawn around each."""
    half = TOKEN_PX // 2
    per_image = samples // len(used) // 2
    places, drawings = [], []
    for index in used:
        crack = images[index].crack
        height, width = crack.shape[0] // SHRINK, crack.shape[1] // SHRINK
        near = cv2.dilate(crack.astype(np.uint8), np.ones((half + 1, half + 1), np.uint8))
        positive = np.argwhere(near[: height * SHRINK : SHRINK, : width * SHRINK : SHRINK])
        any_ = np.stack([rng.integers(0, height, per_image), rng.integers(0, width, per_image)], 1)
        if len(positive):
            any_ = np.concatenate([positive[rng.integers(0, len(positive), per_image)], any_])
        padded = np.pad(crack, half, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (TOKEN_PX, TOKEN_PX))
        drawings.append(windows[any_[:, 0] * SHRINK, any_[:, 1] * SHRINK])
        places.append(np.column_stack([np.full(len(any_), index), any_]))
    return np.concatenate(places).astype(np.int64), np.concatenate(drawings)


def _halves(images: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which half of the images each tree sees; every image is unknown to half of the trees."""
    seen = np.zeros((TREES, images), bool)
    for tree in range(0, TREES, 2):
        order = rng.permutation(images)
        seen[tree, order[: images // 2]] = True
        seen[tree + 1] = ~seen[tree]
    return seen


def _is_crack(part: Mask, image: LabelledImage) -> bool:
    """Whether most of a part's pixels are right by the metric."""
    counts = count(part, image.crack, frame_px=0, ignore=image.ignore)
    return 2 * counts.right > counts.detected


def _union(parts: Sequence[Mask], like: Mask) -> Mask:
    """All parts together; empty in the shape of `like` when there are none."""
    if not parts:
        return np.zeros(like.shape, bool)
    return np.asarray(np.logical_or.reduce(parts), bool)
