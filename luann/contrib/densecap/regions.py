"""Proposing regions: sampling boxes for training, and the layer that finds them."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from ... import random
from ...errors import ModuleError
from ...nn import _kernels as kernels
from ...nn import utils
from ...nn._nested import buffer
from ...nn._object import given, need_number, need_size
from ...nn.container import Sequential
from ...nn.convolution import SpatialConvolution
from ...nn.criterion import SmoothL1Criterion
from ...nn.identity import Identity
from ...nn.module import Module
from ...nn.table import ConcatTable, FlattenTable
from ...nn.transfer import ReLU
from ...table import Table
from ...timer import Timer
from .. import cudnn
from .._needs import listed, option, refuse
from .boxes import (
    ApplyBoxTransform,
    BoxIoU,
    InvertBoxTransform,
    MakeAnchors,
    RegularizeLayer,
    ReshapeBoxFeatures,
    corners,
    need_anchors,
)
from .criterions import OurCrossEntropyCriterion
from .pooling import BilinearRoiPooling

FAR = 10
"""An offset beyond this is that of a box that does not count."""


def nms(boxes: torch.Tensor, scores: torch.Tensor, overlap: float, most: int | None = None) -> torch.Tensor:
    """Which boxes are left, counted from 0 and best first, when each takes away those that overlap it by more.

    Args:
        boxes: N x 4, ``(x1, y1, x2, y2)``.
        scores: N numbers.
        overlap: from which intersection over union on a box is taken away.
        most: how many to keep at most.
    """
    order = scores.float().sort()[1].flip(0)
    low, high = boxes[:, :2], boxes[:, 2:]
    area = (high - low + 1).prod(1)
    kept: list[torch.Tensor] = []
    while len(order) and (most is None or len(kept) < most):
        best, order = order[0], order[1:]
        kept.append(best)
        extent = (torch.minimum(high[order], high[best]) - torch.maximum(low[order], low[best]) + 1).clamp_(min=0)
        shared = extent.prod(1)
        order = order[shared / (area[order] + area[best] - shared) <= overlap]
    return torch.stack(kept) if kept else order


def clipped(boxes: torch.Tensor, high: float, wide: float) -> tuple[torch.Tensor, torch.Tensor]:
    """N x 4 boxes ``(xc, yc, w, h)`` cut to an image of high x wide pixels, and which of them lie in it at all."""
    limits = boxes.new_tensor([wide, high])
    found = corners(boxes)
    low = torch.minimum(found[:, :2].clamp(min=1), limits - 1)
    end = torch.minimum(found[:, 2:].clamp(min=2), limits)
    return torch.cat(((low + end) / 2, end - low), 1), (end > low).all(1)


class PosSlicer(Module):
    """As many of the first rows as there are rows of ground truth; all of them without any.

    Input: a list of features, N x ..., and ground truth, P x ... or empty. Output: P x ..., the features' memory.
    """

    grad_features: Any = None
    grad_gt_features: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.grad_features, self.grad_gt_features = torch.empty(0), torch.empty(0)

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        features, truth = input
        count = len(truth) if truth.numel() else len(features)
        self._want(count <= len(features), f"{len(features)} rows of ground truth at most", truth)
        return self.output.set_(features[:count])

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        features, truth = input
        self.grad_features = buffer(self.grad_features, features)
        self.grad_features[: len(gradOutput)] = gradOutput
        self.grad_features[len(gradOutput) :] = 0
        self.grad_gt_features = buffer(self.grad_gt_features, truth).zero_()
        self.gradInput = [self.grad_features, self.grad_gt_features]
        return self.gradInput


class BoxSampler(Module):
    """Boxes drawn for training: some that fit the ground truth, the others that do not. There is no gradient.

    Input: a list of boxes, 1 x A x 4, and ground truth, 1 x B x 4. Output: a list of three LongTensors counted from 1:
    the boxes that fit, the ground truth of each of these, and boxes that do not fit.

    Args:
        options: a table of

            - high_thresh: a box fits if it overlaps by more, default 0.7; the best box of each ground truth does so
              anyway;
            - low_thresh: it does not fit if it overlaps by less, default 0.3;
            - batch_size: how many to draw, half of which fit if there are so many; default 256.

    ``debug_pos_sample_idx`` and ``debug_neg_sample_idx``, if set, are taken in the place of what is drawn.
    """

    x_min: Any = None
    x_max: Any = None
    y_min: Any = None
    y_max: Any = None
    debug_pos_sample_idx: Any = None
    debug_neg_sample_idx: Any = None

    def __init__(self, options: dict | None = None) -> None:
        super().__init__()
        options = given(options, {})
        self.low_thresh = option(self, options, "low_thresh", 0.3)
        self.high_thresh = option(self, options, "high_thresh", 0.7)
        self.batch_size = option(self, options, "batch_size", 256)
        need_number(self, low_thresh=self.low_thresh, high_thresh=self.high_thresh)
        need_size(self, batch_size=self.batch_size)
        self.box_iou = BoxIoU()

    def setBounds(self, bounds: dict) -> None:
        """Leave boxes out that reach beyond ``x_min``, ``x_max``, ``y_min`` or ``y_max`` of a table."""
        self.x_min, self.x_max, self.y_min, self.y_max = (bounds.get(k) for k in ("x_min", "x_max", "y_min", "y_max"))

    def updateOutput(self, input: list[torch.Tensor]) -> list[torch.Tensor]:
        boxes, truth = input
        self._want(len(boxes) == len(truth) == 1, "one image", input)
        overlaps = self.box_iou.updateOutput(input)[0]
        largest, which = overlaps.max(1)
        fits, fails = largest > self.high_thresh, largest < self.low_thresh
        if None not in (self.x_min, self.x_max, self.y_min, self.y_max):
            found = corners(boxes[0])
            low, high = found.new_tensor([self.x_min, self.y_min]), found.new_tensor([self.x_max, self.y_max])
            inside = ((found[:, :2] >= low) & (found[:, 2:] <= high)).all(1)
            fits, fails = fits & inside, fails & inside
        best = overlaps.max(0)[1]
        fits[best], fails[best] = True, False
        if not fails.any():
            fails = ~fits
        self.pos_mask, self.neg_mask = fits.to(torch.uint8), fails.to(torch.uint8)
        positive, negative = (mask.nonzero().squeeze(1) for mask in (fits, fails))
        wanted = int(min(self.batch_size / 2, len(positive)))
        others = int(self.batch_size - wanted)
        chosen = random.multinomial(torch.ones(len(positive)), wanted, False)
        rest = random.multinomial(torch.ones(len(negative)), others, len(negative) < others)
        chosen, rest = given(self.debug_pos_sample_idx, chosen), given(self.debug_neg_sample_idx, rest)
        positive, negative = (i[drawn.to(i) - 1] for i, drawn in ((positive, chosen), (negative, rest)))
        self.output = [positive + 1, which[positive] + 1, negative + 1]
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        raise ModuleError("there is no gradient, as in densecap")


class BoxSamplerHelper(Module):
    """A :class:`BoxSampler`, and what belongs to the boxes that it draws.

    Input: a list of two lists: boxes, 1 x A x 4, and what else there is of each, 1 x A x D; ground truth, 1 x B x 4,
    and what else there is of that. Output: three lists: of the boxes that fit, P x D each; of their ground truth; of
    the boxes that do not fit. gradOutput: two lists, for the first and the last of these, whose entries may be missing
    or ``None``; gradInput: a list for what belongs to the boxes.

    Args:
        options: those of the sampler; or ``box_sampler``, a sampler.
    """

    num_pos: int | None = None
    num_neg: int | None = None
    pos_input_idx: Any = None
    pos_target_idx: Any = None
    neg_input_idx: Any = None

    def __init__(self, options: dict | None = None) -> None:
        super().__init__()
        options = given(options, {})
        self.box_sampler = option(self, options, "box_sampler", False) or BoxSampler(options)
        self.output: list = [[torch.empty(0)], [torch.empty(0)], [torch.empty(0)]]
        self.gradInput: list = [torch.empty(0)]

    def setBounds(self, bounds: dict) -> None:
        """The sampler's ``setBounds``."""
        self.box_sampler.setBounds(bounds)

    def updateOutput(self, input: list) -> list:
        data, truth = input
        numbers = self.box_sampler.updateOutput([data[0], truth[0]])
        self.pos_input_idx, self.pos_target_idx, self.neg_input_idx = numbers
        self.num_pos, self.num_neg = len(numbers[0]), len(numbers[2])
        sources = zip((data, truth, data), numbers)
        self.output = [[t[0].index_select(0, i.to(t.device) - 1) for t in tensors] for tensors, i in sources]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        data = input[0]
        mine = self.gradInput + [None] * (len(data) - len(self.gradInput))
        self.gradInput = [buffer(old, t).zero_() for old, t in zip(mine, data)]
        for grads, numbers in zip(gradOutput, (self.pos_input_idx, self.neg_input_idx)):
            for i, grad in enumerate(self.gradInput):
                part = grads.get(i + 1) if isinstance(grads, dict) else grads[i] if i < len(grads) else None
                if part is not None:
                    grad[0].index_copy_(0, numbers.to(grad.device) - 1, part.reshape(len(numbers), -1))
        return self.gradInput


_ANCHORS = [
    *([45, 90], [90, 45], [64, 64], [90, 180], [180, 90], [128, 128]),
    *([181, 362], [362, 181], [256, 256], [362, 724], [724, 362], [512, 512]),
]


def _proposals(opt: Any) -> Sequential:
    """The net that makes of features boxes, anchors, offsets and scores for every anchor at every place."""
    anchors = opt.get("anchors")
    if anchors is None:
        anchors = torch.tensor(_ANCHORS, dtype=torch.get_default_dtype()).t().mul(opt["anchor_scale"])
    need_anchors(LocalizationLayer, anchors)
    k, planes, size = anchors.shape[1], opt["rpn_num_filters"], opt["rpn_filter_size"]

    def convolution(given: int, made: int, side: int, pad: int, zero: bool = False) -> SpatialConvolution:
        layer = SpatialConvolution(given, made, side, side, 1, 1, pad, pad)
        if zero:
            layer.weight.zero_()
        else:
            random.normal(layer.weight, 0, opt["std"])
        layer.bias.zero_()
        return layer

    net = Sequential().add(convolution(opt["input_dim"], planes, size, size // 2)).add(ReLU(True))
    moved = Sequential().add(convolution(planes, 4 * k, 1, 0, bool(opt["zero_box_conv"])))
    moved.add(RegularizeLayer(opt["box_reg_decay"]))
    x0, y0, sx, sy = opt["field_centers"]
    placed = Sequential().add(MakeAnchors(x0, y0, sx, sy, anchors)).add(ReshapeBoxFeatures(k))
    moved.add(ConcatTable().add(placed).add(ReshapeBoxFeatures(k)))
    moved.add(ConcatTable().add(ApplyBoxTransform()).add(Identity()))
    scored = Sequential().add(convolution(planes, 2 * k, 1, 0)).add(ReshapeBoxFeatures(k))
    net.add(ConcatTable().add(moved).add(scored)).add(FlattenTable())
    return cudnn.convert(net, cudnn) if opt["backend"] == "cudnn" else net  # type: ignore[return-value]


class LocalizationLayer(Module):
    """Finds regions in the features of an image, and pools the features of each.

    Input: 1 x planes x H x W. Output: a list of the regions' features, N x planes x height x width, their boxes, N x 4,
    and of those that fit the ground truth, which come first, its boxes and labels; these two are empty in evaluation.

    Before every forward :meth:`setImageSize` tells the image's size, in training :meth:`setGroundTruth` what there is
    in it. ``stats.losses`` holds the losses of the regions, whose gradients ``backward`` adds to those that it is
    given.

    Args:
        opt: a table of ``input_dim``, ``output_height``, ``output_width``, ``field_centers`` (as
            :class:`MakeAnchors` takes them), ``mid_box_reg_weight``, ``mid_objectness_weight``; and, with defaults,
            ``backend`` (``'cudnn'``), ``rpn_filter_size`` (3), ``rpn_num_filters`` (256), ``zero_box_conv`` (true),
            ``std`` (0.01), ``anchor_scale`` (1), ``anchors``, ``sampler_batch_size`` (256), ``sampler_high_thresh``
            (0.7), ``sampler_low_thresh`` (0.5), ``train_remove_outbounds_boxes`` (1), ``box_reg_decay`` (0).
    """

    image_height: Any = None
    image_width: Any = None
    gt_boxes: Any = None
    gt_labels: Any = None
    _called_forward_size = _called_backward_size = _called_forward_gt = _called_backward_gt = False
    timing = dump_vars = False
    timer: Any = None
    test_clip_boxes = True
    test_nms_thresh = 0.7
    test_max_proposals = 300
    _passing = (
        *("timer", "rpn_out", "rpn_boxes", "rpn_anchors", "rpn_trans", "rpn_scores", "pos_data", "pos_boxes"),
        *("pos_anchors", "pos_trans", "pos_target_data", "pos_target_boxes", "pos_target_labels", "neg_data"),
        "neg_scores",
    )

    def __init__(self, opt: dict) -> None:
        super().__init__()
        sizes = {name: option(self, opt, name) for name in ("input_dim", "output_height", "output_width")}
        weights = {name: option(self, opt, name) for name in ("mid_box_reg_weight", "mid_objectness_weight")}
        need_size(self, **sizes)
        need_number(self, **weights)
        if len(listed(self, opt, "field_centers", 4)) > 4:
            refuse(self, "field_centers", "a list of four numbers", opt["field_centers"])
        self.opt = opt = Table(opt)
        defaults = {
            "backend": "cudnn",
            "rpn_filter_size": 3,
            "rpn_num_filters": 256,
            "zero_box_conv": True,
            "std": 0.01,
            "anchor_scale": 1,
            "sampler_batch_size": 256,
            "sampler_high_thresh": 0.7,
            "sampler_low_thresh": 0.5,
            "train_remove_outbounds_boxes": 1,
            "box_reg_decay": 0,
        }
        for name, value in defaults.items():
            opt[name] = option(self, opt, name, value)
            if not isinstance(value, (str, bool)):
                need_number(self, **{name: opt[name]})
        self.losses = Table()
        sampling = {k: opt[f"sampler_{k}"] for k in ("batch_size", "low_thresh", "high_thresh")}
        self.nets = Table(
            rpn=_proposals(opt),
            box_sampler_helper=BoxSamplerHelper(sampling),
            roi_pooling=BilinearRoiPooling(opt["output_height"], opt["output_width"]),
            invert_box_transform=InvertBoxTransform(),
            obj_crit_pos=OurCrossEntropyCriterion(),
            obj_crit_neg=OurCrossEntropyCriterion(),
            box_reg_crit=SmoothL1Criterion(),
        )
        self.roi_boxes, self.pos_trans_targets = torch.empty(0), torch.empty(0)
        self.pos_labels, self.neg_labels = torch.empty(0), torch.empty(0)
        self.called_forward = self.called_backward = False
        self.timer = Timer()
        self.timing = self.dump_vars = False
        self.reset_stats()
        self.setTestArgs()
        self.training()

    def parameters(self) -> tuple[list[torch.Tensor] | None, list[torch.Tensor] | None]:
        """Those of the net that proposes."""
        return self.nets.rpn.parameters()

    def setImageSize(self, image_height: float, image_width: float) -> None:
        """Tell the image's size, before every forward."""
        self.image_height, self.image_width = image_height, image_width
        self._called_forward_size = self._called_backward_size = False

    def setGroundTruth(self, gt_boxes: torch.Tensor, gt_labels: torch.Tensor) -> None:
        """Tell what there is in the image, before every forward in training: boxes, 1 x B x 4; labels, 1 x B x L."""
        self.gt_boxes, self.gt_labels = gt_boxes, gt_labels
        self._called_forward_gt = self._called_backward_gt = False

    def reset_stats(self) -> None:
        """Empty ``stats``."""
        self.stats = Table(losses=Table(), times=Table(), vars=Table())

    def setTestArgs(self, args: dict | None = None) -> None:
        """Set how evaluation chooses.

        Args:
            args: a table of ``clip_boxes``, whether to cut boxes to the image (default yes); ``nms_thresh``, from which
                overlap on only the better box stays (default 0.7); ``max_proposals``, how many to keep at most, -1 for
                all (default 300).
        """
        args = given(args, {})
        self.test_clip_boxes = option(self, args, "clip_boxes", True)
        self.test_nms_thresh = option(self, args, "nms_thresh", 0.7)
        self.test_max_proposals = option(self, args, "max_proposals", 300)

    def _pooled(self, features: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        return self.nets.roi_pooling.setImageSize(self.image_height, self.image_width).forward([features[0], boxes])

    def _need(self, told: bool, call: str) -> None:
        if not told:
            raise ModuleError(f"call {call} before every forward")

    def updateOutput(self, input: torch.Tensor) -> list[torch.Tensor]:
        self._want(input.dim() == 4 and len(input) == 1, "1 x planes x H x W", input)
        sized = self.image_height is not None and (self.train or not self._called_forward_size)
        self._need(sized, "setImageSize(image_height, image_width)")
        if self.train:
            self._need(self.gt_boxes is not None and not self._called_forward_gt, "setGroundTruth(gt_boxes, gt_labels)")
            self._called_forward_gt = True
        self._called_forward_size = True
        self.output = self._forward_train(input) if self.train else self._forward_test(input)
        return self.output

    def _forward_test(self, features: torch.Tensor) -> list[torch.Tensor]:
        boxes, anchors, _, scores = (t[0] for t in self.nets.rpn.forward(features))
        if self.test_clip_boxes:
            boxes, valid = clipped(boxes, self.image_height, self.image_width)
            boxes, anchors, scores = boxes[valid], anchors[valid], scores[valid]
        chances = scores[:, 0].exp()
        chances = chances / (chances + scores[:, 1].exp())
        most = None if self.test_max_proposals == -1 else self.test_max_proposals
        kept = nms(corners(boxes), chances, self.test_nms_thresh, most)
        boxes = boxes[kept]
        pooled = self._pooled(features, boxes)
        if self.dump_vars:
            self.stats.vars = Table(
                given(self.stats.get("vars"), {}),
                test_rpn_boxes_nms=boxes,
                test_rpn_anchors_nms=anchors[kept],
                test_rpn_scores_nms=chances[kept],
            )
        empty = pooled.new_empty(0)
        return [pooled, boxes, empty, empty]

    def _forward_train(self, features: torch.Tensor) -> list[torch.Tensor]:
        nets, opt = self.nets, self.opt
        fits = self.gt_boxes.dim() == self.gt_labels.dim() == 3 and self.gt_boxes.shape[1] == self.gt_labels.shape[1]
        self._want(fits, "ground truth of 1 x B x 4 and 1 x B x L", [self.gt_boxes, self.gt_labels])
        self.reset_stats()
        self.rpn_out = nets.rpn.forward(features)
        self.rpn_boxes, self.rpn_anchors, self.rpn_trans, self.rpn_scores = self.rpn_out
        if opt.train_remove_outbounds_boxes == 1:
            limits = {"x_min": 1, "y_min": 1, "x_max": self.image_width, "y_max": self.image_height}
            nets.box_sampler_helper.setBounds(limits)
        sampled = nets.box_sampler_helper.forward([self.rpn_out, [self.gt_boxes, self.gt_labels]])
        self.pos_data, self.pos_target_data, self.neg_data = sampled
        self.pos_boxes, self.pos_anchors, self.pos_trans, self.pos_scores = self.pos_data
        self.pos_target_boxes, self.pos_target_labels = self.pos_target_data
        self.neg_boxes, self.neg_scores = self.neg_data[0], self.neg_data[3]
        count, others = len(self.pos_boxes), len(self.neg_boxes)
        self.roi_boxes = torch.cat((self.pos_boxes, self.neg_boxes))
        self.roi_features = self._pooled(features, self.roi_boxes)
        self.pos_labels = torch.ones(count, dtype=torch.int64, device=features.device)
        self.neg_labels = torch.full((others,), 2, dtype=torch.int64, device=features.device)
        losses, weight = self.stats.losses, opt.mid_objectness_weight
        losses.obj_loss_pos = weight * nets.obj_crit_pos.forward(self.pos_scores, self.pos_labels)
        losses.obj_loss_neg = weight * nets.obj_crit_neg.forward(self.neg_scores, self.neg_labels)
        self.pos_trans_targets = nets.invert_box_transform.forward([self.pos_anchors, self.pos_target_boxes])
        far = self.pos_trans_targets.abs().amax(1, keepdim=True) > FAR
        if far.any():
            warnings.warn(f"{self._typename}: {int(far.sum())} boxes too far from their anchors", stacklevel=2)
            self.pos_trans.masked_fill_(far, 0)
            self.pos_trans_targets.masked_fill_(far, 0)
        losses.box_reg_loss = opt.mid_box_reg_weight * nets.box_reg_crit.forward(self.pos_trans, self.pos_trans_targets)
        losses.box_decay_loss = nets.rpn.findModules("nn.RegularizeLayer")[0][0].loss
        losses.total_loss = sum(losses.values())
        if self.dump_vars:
            self.stats.vars = Table(
                pred_scores=self.rpn_scores[0],
                pred_boxes=self.rpn_boxes[0],
                pred_anchors=self.rpn_anchors[0],
                aligned_pos_boxes=self.pos_boxes,
                aligned_pos_scores=self.pos_scores,
                aligned_target_boxes=self.pos_target_boxes,
                sampled_neg_boxes=self.neg_boxes,
                sampled_neg_scores=self.neg_scores,
            )
        return [self.roi_features, self.roi_boxes, self.pos_target_boxes, self.pos_target_labels]

    def updateGradInput(self, input: torch.Tensor, gradOutput: list[torch.Tensor]) -> torch.Tensor:
        """The gradients of the regions' losses are added; the proposing net's parameters get theirs, too."""
        if not self.train:
            raise ModuleError("there is no gradient in evaluation")
        again = self._called_backward_gt or self._called_backward_size
        self._need(not again and self.image_height is not None, "setImageSize and setGroundTruth")
        self._called_backward_gt = self._called_backward_size = True
        nets, opt = self.nets, self.opt
        gradTrans = nets.box_reg_crit.backward(self.pos_trans, self.pos_trans_targets).mul_(opt.mid_box_reg_weight)
        gradScores = [
            criterion.backward(scores, labels).mul_(opt.mid_objectness_weight)
            for criterion, scores, labels in (
                (nets.obj_crit_pos, self.pos_scores, self.pos_labels),
                (nets.obj_crit_neg, self.neg_scores, self.neg_labels),
            )
        ]
        gradFeatures, gradBoxes = nets.roi_pooling.backward([input[0], self.roi_boxes], gradOutput[0])
        gradBoxes = gradBoxes + gradOutput[1]
        count = len(self.pos_boxes)
        grads = [
            [gradBoxes[:count], None, gradTrans, gradScores[0]],
            [gradBoxes[count:], None, None, gradScores[1]],
        ]
        back = nets.box_sampler_helper.backward([self.rpn_out, [self.gt_boxes, self.gt_labels]], grads)
        gradInput = kernels.resized(self.gradInput, input.shape).copy_(nets.rpn.backward(input, back))
        gradInput[0].add_(gradFeatures)
        return gradInput

    def clearState(self) -> LocalizationLayer:
        for name in self._passing:
            self.__dict__.pop(name, None)
        utils.clear(self, "roi_boxes")
        self.nets.rpn.clearState()
        self.nets.roi_pooling.clearState()
        return self
