"""The words for regions, and the whole model."""

from __future__ import annotations

from typing import Any

import torch

from ... import nn, random
from ...errors import ArgumentError, ModuleError
from ...nn._object import given, need_number, need_size
from ...nn.container import Sequential
from ...nn.dropout import Dropout
from ...nn.linear import Linear
from ...nn.lookup import LookupTable
from ...nn.module import Module
from ...nn.shaping import View
from ...nn.table import JoinTable, ParallelTable
from ...nn.transfer import ReLU
from ...table import Table
from ...types import classes
from .. import cudnn
from .._needs import option
from ..torch_rnn import LSTM
from .boxes import corners
from .regions import nms


class LanguageModel(Module):
    """Words for vectors that each describe a region, by torch-rnn's LSTMs.

    Input: a list of vectors, N x image_vector_dim, and captions, N x T words from 1, 0 behind the last; or an empty
    tensor. Output: with captions, scores N x (T + 2) x (vocab_size + 1) for the word after the vector, after the start,
    and after each word; without, N x seq_length words.

    Args:
        opt: a table of ``vocab_size``, ``input_encoding_size``, ``image_vector_dim``, ``rnn_size``, ``seq_length``,
            ``idx_to_token`` (the words); ``num_layers`` (default 1), ``dropout`` (default 0).

    ``sample_argmax`` set to false has words drawn; by default each is the most probable one. ``beam_size``, if set, has
    whole captions searched for. Word ``vocab_size + 1``
    stands for the start and for the end.
    """

    vocab_size: int
    input_encoding_size: int
    image_vector_dim: int
    rnn_size: int
    seq_length: int
    idx_to_token: Any
    sample_argmax = True
    beam_size: int | None = None
    _forward_sampled: bool | None = None
    recompute_backward = False

    def __init__(self, opt: dict) -> None:
        super().__init__()
        for name in ("vocab_size", "input_encoding_size", "image_vector_dim", "rnn_size", "seq_length"):
            setattr(self, name, option(self, opt, name))
            need_size(self, **{name: opt[name]})
        self.idx_to_token = option(self, opt, "idx_to_token")
        self.num_layers, self.dropout = option(self, opt, "num_layers", 1), option(self, opt, "dropout", 0)
        need_size(self, num_layers=self.num_layers)
        need_number(self, dropout=self.dropout)
        width, words = self.input_encoding_size, self.vocab_size
        self.image_encoder = Sequential().add(Linear(self.image_vector_dim, width)).add(ReLU(True))
        self.image_encoder.add(View(1, -1).setNumInputDims(1))
        self.START_TOKEN = self.END_TOKEN = words + 1
        self.NULL_TOKEN = words + 2
        self.lookup_table = LookupTable(words + 2, width)
        self.sample_argmax = True
        self.rnn = Sequential()
        for i in range(self.num_layers):
            self.rnn.add(LSTM(self.rnn_size if i else width, self.rnn_size))
            if self.dropout > 0:
                self.rnn.add(Dropout(self.dropout))
        self.view_in = View(1, 1, -1).setNumInputDims(3)
        self.view_out = View(1, -1).setNumInputDims(2)
        self.rnn.add(self.view_in).add(Linear(self.rnn_size, words + 1)).add(self.view_out)
        branches = ParallelTable().add(self.image_encoder).add(self.lookup_table)
        self.net = Sequential().add(branches).add(JoinTable(1, 2)).add(self.rnn)
        self.training()

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "image_encoder" in fields and "lookup_table" in fields

    def decodeSequence(self, seq: torch.Tensor) -> list[str]:
        """The captions that N x T words make."""
        captions = []
        for row in seq.tolist():
            words = []
            for number in map(int, row):
                if number in (self.END_TOKEN, 0):
                    break
                table = self.idx_to_token
                words.append(table[number] if isinstance(table, dict) else table[number - 1])
            captions.append(" ".join(words))
        return captions

    def getTarget(self, gt_sequence: torch.Tensor) -> torch.Tensor:
        """What torch-rnn's TemporalCrossEntropyCriterion takes for captions: N x (T + 2), the end behind the last
        word.
        """
        N, T = gt_sequence.shape
        target = gt_sequence.new_zeros(N, T + 2)
        target[:, 1 : T + 1] = gt_sequence
        ends = (target[:, 1:] == 0).to(torch.uint8).argmax(1, keepdim=True) + 1
        return target.scatter_(1, ends, self.END_TOKEN)

    def _shaped(self, N: int, T: int) -> None:
        """Tell the views the batch and the number of steps."""
        self.view_in.resetSize(N * T, -1)
        self.view_out.resetSize(N, T, -1)

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        vectors, captions = input
        self.recompute_backward = True
        self._forward_sampled = captions.numel() == 0
        if self._forward_sampled:
            return self.sample(vectors) if self.beam_size is None else self.beamsearch(vectors, self.beam_size)
        N, T = captions.shape
        start = captions.new_full((N, 1), self.START_TOKEN)
        self._gt_with_start = torch.cat((start, captions.masked_fill(captions == 0, self.NULL_TOKEN)), 1)
        self._shaped(N, T + 2)
        self.output = self.net.updateOutput([vectors, self._gt_with_start])
        return self.output

    def _lstms(self) -> list[LSTM]:
        return [layer for layer in self.rnn.modules if isinstance(layer, LSTM)]

    def _begin(self, vectors: torch.Tensor) -> torch.Tensor:
        """Give the vectors to the LSTMs, which remember from there on; returns the words for the start."""
        for layer in self._lstms():
            layer.resetStates()
            layer.remember_states = True
        self._shaped(len(vectors), 1)
        self.rnn.forward(self.image_encoder.forward(vectors))
        return torch.full((len(vectors), 1), self.START_TOKEN, dtype=torch.int64, device=vectors.device)

    def _next(self, words: torch.Tensor) -> torch.Tensor:
        """Scores for the words behind N x 1 words."""
        return self.rnn.forward(self.lookup_table.forward(words)).view(len(words), -1)

    def _end(self, words: torch.Tensor) -> torch.Tensor:
        for layer in self._lstms():
            layer.resetStates()
            layer.remember_states = False
        self.output = words
        return words

    def sample(self, image_vectors: torch.Tensor) -> torch.Tensor:
        """Words for N vectors, N x seq_length."""
        words, found = self._begin(image_vectors), []
        for _ in range(self.seq_length):
            scores = self._next(words)
            if self.sample_argmax:
                words = scores.max(1, keepdim=True)[1] + 1
            else:
                words = random.multinomial(torch.softmax(scores, 1), 1).to(words.device)
            found.append(words)
        return self._end(torch.cat(found, 1))

    def beamsearch(self, image_vectors: torch.Tensor, beam_size: int | None = None) -> torch.Tensor:
        """Words for N vectors, N x seq_length, the most probable ones as far as a search finds out.

        As in densecap the LSTMs' outputs after the start are taken to be their cells.

        Args:
            beam_size: how many beginnings are followed at a time, vocab_size + 1 at most; default 20.
        """
        beam, found = given(beam_size, 20), []
        for vector in image_vectors.split(1):
            likely, words = torch.log_softmax(self._next(self._begin(vector)), 1)[0].topk(beam)
            beams = torch.ones(beam, self.seq_length, dtype=torch.int64, device=vector.device)
            beams[:, 0] = words + 1
            for layer in self._lstms():
                layer.cell.set_(layer.cell.repeat(beam, 1, 1))
                layer.output.set_(layer.cell.clone())
                layer.c0, layer.h0 = (layer.cell.new_zeros(beam, layer.hidden_dim) for _ in range(2))
            self._shaped(beam, 1)
            for t in range(1, self.seq_length):
                scores = torch.log_softmax(self._next(beams[:, t - 1 : t]), 1)
                scores.masked_fill_((beams == self.END_TOKEN).any(1, keepdim=True), 0)  # what is behind the end is free
                best, words = scores.topk(beam, 1)
                likely, chosen = (likely.unsqueeze(1) + best).flatten().topk(beam)
                rows = chosen // beam
                beams = beams[rows]
                beams[:, t] = words.flatten()[chosen] + 1
                for layer in self._lstms():
                    layer.cell.set_(layer.cell[rows])
                    layer.output.set_(layer.output[rows])
            found.append(beams[likely.argmax()])
        return self._end(torch.stack(found))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> Any:
        if self.recompute_backward:
            self.backward(input, gradOutput)
        return self.gradInput

    def accGradParameters(self, input: list[torch.Tensor], gradOutput: torch.Tensor, scale: float = 1) -> None:
        if self.recompute_backward:
            self.backward(input, gradOutput, scale)

    def backward(self, input: list[torch.Tensor], gradOutput: torch.Tensor, scale: float = 1) -> list[torch.Tensor]:
        """All gradients; ``scale`` must be 1. There are none after words were sampled."""
        if self._forward_sampled is not False:
            raise ModuleError("no gradient goes through sampled words: give captions")
        if scale != 1:
            raise ArgumentError(f"scale must be 1, as in densecap, got {scale}")
        self.recompute_backward = False
        grads = self.net.backward([input[0], self._gt_with_start], gradOutput)
        self.gradInput = [grads[0], torch.zeros_like(input[1])]
        return self.gradInput

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return self.net.parameters()

    def training(self) -> None:
        super().training()
        self.net.training()

    def evaluate(self) -> None:
        super().evaluate()
        self.net.evaluate()

    def clearState(self) -> LanguageModel:
        self.net.clearState()
        return self


class DenseCapModel(Module, typename="DenseCapModel"):
    """The whole model: an image in, regions with a caption each out. It comes from a file::

        model = luann.load("densecap.t7")["model"].float()
        boxes, scores, captions = model.forward_test(image)

    Input: an image, 1 x 3 x H x W. Output: a list of scores, N x 1; the boxes proposed, N x 4; the offsets of the final
    ones; the final boxes, N x 4; words, N x seq_length; and two empty tensors. In training, after
    :meth:`setGroundTruth`: P of the boxes and offsets, scores of words, and the ground truth of the P boxes that fit.

    Attributes:
        net: the convolutions that are not trained, those that may be, the LocalizationLayer, the recognition net.
        nets: its parts by name. crits: the criterions. opt: the options.
        finetune_cnn: train the second part, too.
    """

    net: Any = None
    nets: Any = None
    crits: Any = None
    opt: Any = None
    finetune_cnn = False
    _called_forward = False

    def __init__(self, opt: dict | None = None) -> None:
        raise ArgumentError(
            "a DenseCapModel is loaded from a file: luann does not make new ones, for which densecap needs VGG-16 as a "
            "Caffe model"
        )

    def training(self) -> None:
        super().training()
        self.net.training()

    def evaluate(self) -> None:
        super().evaluate()
        self.net.evaluate()

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return self.net.parameters()

    def setTestArgs(self, kwargs: dict) -> None:
        """Set how evaluation chooses.

        Args:
            kwargs: a table of ``rpn_nms_thresh`` and ``final_nms_thresh``, from which overlap on only the better box
                stays, when proposed and in the end (default 0.7, 0.3); ``num_proposals``, default 1000.
        """
        proposing = {
            "nms_thresh": option(self, kwargs, "rpn_nms_thresh", 0.7),
            "max_proposals": option(self, kwargs, "num_proposals", 1000),
        }
        self.nets.localization_layer.setTestArgs(proposing)
        self.opt.final_nms_thresh = option(self, kwargs, "final_nms_thresh", 0.3)

    def convert(self, dtype: Any, use_cudnn: bool | None = None) -> None:
        """Convert to a type, and the convolutions to those of cudnn (true) or nn (false)."""
        self.type(dtype)
        if use_cudnn is not None:
            backend: Any = cudnn if use_cudnn else nn
            cudnn.convert(self.net, backend)
            cudnn.convert(self.nets.localization_layer.nets.rpn, backend)

    def setGroundTruth(self, gt_boxes: torch.Tensor, gt_labels: torch.Tensor) -> None:
        """Tell what there is in the image, before every forward in training: boxes, 1 x B x 4; labels, 1 x B x L."""
        self.gt_boxes, self.gt_labels = gt_boxes, gt_labels
        self._called_forward = False
        self.nets.localization_layer.setGroundTruth(gt_boxes, gt_labels)

    def _run(self, input: torch.Tensor) -> list[torch.Tensor]:
        self._want(input.dim() == 4 and input.shape[:2] == (1, 3), "an image, 1 x 3 x H x W", input)
        self.nets.localization_layer.setImageSize(*input.shape[2:])
        return self.net.forward(input)

    def _best(self, output: list[torch.Tensor]) -> torch.Tensor:
        """Which of the final boxes stay, best first, by numbers in single precision."""
        return nms(corners(output[3].float()), output[0].float()[:, 0], self.opt.final_nms_thresh)

    def updateOutput(self, input: torch.Tensor) -> list[torch.Tensor]:
        if self.train:
            if self._called_forward:
                raise ModuleError("call setGroundTruth(gt_boxes, gt_labels) before every forward in training")
            self._called_forward = True
        self.output = self._run(input)
        if not self.train and self.opt.final_nms_thresh > 0:
            best = self._best(self.output)
            self.output = list(self.output)
            for i in (0, 3, 4):
                self.output[i] = self.output[i][best]
        return self.output

    def forward_test(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """In evaluation: the boxes ``(xc, yc, w, h)``, N x 4, their scores, N x 1, and their captions."""
        self.evaluate()
        output = self.forward(input)
        return output[3], output[0], self.nets.language_model.decodeSequence(output[4])

    def extractFeatures(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The boxes that stay, N x 4, and the features that the model describes them by."""
        output = self._run(input)
        best = self._best(output)
        return output[3][best], self.nets.recog_base.output[best]

    def backward(self, input: torch.Tensor, gradOutput: list[torch.Tensor], scale: float = 1) -> Any:
        """The gradients of the last two parts, and of the second with ``finetune_cnn``; returned is that with respect
        to what goes into them.
        """
        modules = self.net.modules
        for i in range(3, 0 if self.finetune_cnn else 1, -1):
            gradOutput = modules[i].backward(modules[i - 1].output, gradOutput)
        self.gradInput = gradOutput
        return gradOutput

    def getParameters(self) -> Any:
        """Four flat tensors: parameters and gradients of the last two parts, then those of the second part."""
        modules = self.net.modules
        convolutions = modules[1].getParameters()
        rest = Sequential().add(modules[2]).add(modules[3]).getParameters()
        return (*rest, *convolutions)

    def clearState(self) -> DenseCapModel:
        self.net.clearState()
        for criterion in self.crits.values():
            if hasattr(criterion, "clearState"):
                criterion.clearState()
        return self

    def forward_backward(self, data: dict) -> Table:
        """One step of training: losses and gradients of all criterions.

        Args:
            data: a table of ``image``, ``gt_boxes`` and ``gt_labels``.

        Returns:
            A table of the losses, ``total_loss`` being their sum.
        """
        self.training()
        self.setGroundTruth(data["gt_boxes"], data["gt_labels"])
        scores, boxes, offsets, final, words, truth, labels = self.forward(data["image"])
        opt, crits = self.opt, self.crits
        right = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
        right[: len(boxes)] = 1
        objectness = opt.end_objectness_weight * crits.objectness_crit.forward(scores, right)
        gradScores = crits.objectness_crit.backward(scores, right).mul_(opt.end_objectness_weight)
        regression = crits.box_reg_crit.forward([boxes, offsets], truth)
        gradBoxes, gradOffsets = crits.box_reg_crit.backward([boxes, offsets], truth)
        target = self.nets.language_model.getTarget(labels)
        captioning = opt.captioning_weight * crits.lm_crit.forward(words, target)
        gradWords = crits.lm_crit.backward(words, target).mul_(opt.captioning_weight)
        mid = self.nets.localization_layer.stats.losses
        losses = Table(
            mid_objectness_loss=mid.obj_loss_pos + mid.obj_loss_neg,
            mid_box_reg_loss=mid.box_reg_loss,
            end_objectness_loss=objectness,
            end_box_reg_loss=regression,
            captioning_loss=captioning,
        )
        losses.total_loss = sum(losses.values())
        zeros = (torch.zeros_like(t) for t in (final, truth, labels))
        gradFinal, gradTruth, gradLabels = zeros
        grads = [gradScores, gradBoxes, gradOffsets, gradFinal, gradWords, gradTruth, gradLabels]
        self.backward(data["image"], grads)
        return losses


classes["nn.DenseCapModel"] = DenseCapModel  # its name at first
