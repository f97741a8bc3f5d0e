"""Modules of single rocks and projects are copied, converted, pickled, flattened and saved, and compute the same."""

import pickle

import pytest
import torch

import luann
from luann import nn
from luann.contrib import (
    crnn,
    deepmask,
    densecap,
    densenet,
    eyescream,
    inn,
    mc_cnn,
    msdnet,
    multipathnet,
    nnx,
    stn,
    xnor_net,
)

torch.manual_seed(1)

REGIONS = torch.tensor([[1.0, 1, 1, 5, 6], [2, 3, 2, 8, 8]])
BOXES = torch.tensor([[3.0, 3, 2, 2], [4, 5, 3, 1]])
GRID = torch.rand(2, 3, 4, 2) * 2 - 1
SCALES = {"nScales": 2, "grFactor": [1, 2], "bnFactor": [1, 2], "bottleneck": True, "joinType": "add"}
DENSE = {"growthRate": 2, "bottleneck": True, "optMemory": 1}
ANCHORS = torch.tensor([[3.0, 5], [4, 2]])

CASES = {
    "stn.matrix": (stn.AffineTransformMatrixGenerator(True, True, True), torch.rand(2, 4)),
    "stn.grid": (stn.AffineGridGeneratorBHWD(3, 4), torch.rand(2, 2, 3)),
    "stn.sampler": (stn.BilinearSamplerBHWD(), [torch.rand(2, 4, 5, 2), GRID]),
    "densecap.sampler": (densecap.BatchBilinearSamplerBHWD(), [torch.rand(4, 5, 2), GRID]),
    "densecap.naive": (densecap.NaiveBatchBilinearSamplerBHWD(), [torch.rand(4, 5, 2), GRID]),
    "densecap.apply": (densecap.ApplyBoxTransform(), [BOXES, torch.rand(2, 4)]),
    "densecap.invert": (densecap.InvertBoxTransform(), [BOXES, BOXES + 1]),
    "densecap.iou": (densecap.BoxIoU(), [BOXES[None], BOXES[None] + 0.5]),
    "densecap.anchors": (densecap.MakeAnchors(1, 1, 2, 2, ANCHORS), torch.rand(1, 1, 3, 3)),
    "densecap.boxes": (densecap.MakeBoxes(1, 1, 2, 2, ANCHORS), torch.rand(1, 8, 3, 3)),
    "densecap.penalty": (densecap.RegularizeLayer(0.1), torch.rand(3)),
    "densecap.rows": (densecap.ReshapeBoxFeatures(2), torch.rand(1, 4, 2, 3)),
    "densecap.slicer": (densecap.PosSlicer(), [torch.rand(4, 2), torch.rand(2, 3)]),
    "crnn.join": (crnn.BiRnnJoin(2, 3, 4), [[torch.rand(2, 2)] * 3] * 2),
    "crnn.lstm": (crnn.LstmLayer(2, 3, 4, None, True), [torch.rand(2, 2)] * 3),
    "crnn.shared": (crnn.SharedParallelTable(nn.Linear(2, 3), 4), [torch.rand(2, 2)] * 3),
    "inn.affine": (inn.ConstAffine(3), torch.rand(2, 3)),
    "inn.mean": (inn.MeanSubtraction(torch.rand(1, 2, 3, 3)), torch.rand(2, 2, 3, 3)),
    "inn.pyramid": (inn.SpatialPyramidPooling([2, 2], [1, 1]), torch.rand(2, 3, 4, 4)),
    "inn.max": (inn.SpatialMaxPooling(2, 2, 2, 2), torch.rand(2, 3, 5, 5)),
    "inn.average": (inn.SpatialAveragePooling(2, 2, 2, 2), torch.rand(2, 3, 5, 5)),
    "inn.within": (inn.SpatialSameResponseNormalization(), torch.rand(2, 3, 5, 5)),
    "inn.local": (inn.LocalResponseNormalization(), torch.rand(2, 3, 5, 5)),
    "inn.across": (inn.SpatialCrossResponseNormalization(3), torch.rand(2, 3, 5, 5)),
    "inn.regions": (inn.ROIPooling(2, 3, 0.5), [torch.rand(2, 3, 6, 6), REGIONS]),
    "nnx.minus": (nnx.Minus(), torch.rand(3)),
    "nnx.up": (nnx.SpatialUpSampling({"dW": 2, "dH": 2}), torch.rand(2, 3, 3)),
    "nnx.down": (nnx.SpatialDownSampling({"rW": 2, "rH": 2}), torch.rand(2, 4, 4)),
    "nnx.resampling": (nnx.SpatialReSampling({"owidth": 5, "oheight": 5}), torch.rand(2, 3, 3)),
    "nnx.resampling_ex": (nnx.SpatialReSamplingEx({"rwidth": 2, "rheight": 2}), torch.rand(2, 3, 3)),
    "nnx.padding": (nnx.SpatialPadding(1, 1, 1, 1), torch.rand(2, 3, 3)),
    "nnx.softmax": (nnx.MultiSoftMax(), torch.rand(2, 3, 3)),
    "deepmask.padding": (deepmask.SpatialSymmetricPadding(1, 1, 1, 1), torch.rand(1, 2, 3, 3)),
    "deepmask.constants": (deepmask.SpatialConstDiagonal(2), torch.rand(1, 2, 3, 3)),
    "eyescream": (eyescream.SpatialConvolutionUpsample(2, 3, 3, 3), torch.rand(2, 2, 4, 4)),
    "eyescream.cudnn": (eyescream.CudnnSpatialConvolutionUpsample(2, 2, 3, 3, 2, 2), torch.rand(2, 2, 4, 4)),
    "mc_cnn.norm": (mc_cnn.Normalize2(), torch.rand(2, 3, 4, 4)),
    "mc_cnn.pairs": (mc_cnn.StereoJoin1(), torch.rand(2, 3, 4, 4)),
    "mc_cnn.join": (mc_cnn.StereoJoin(2), torch.rand(2, 3, 4, 4)),
    "mc_cnn.convolution": (mc_cnn.SpatialConvolution1_fw(3, 2), torch.rand(2, 3, 4, 4)),
    "densenet": (densenet.DenseConnectLayerCustom(4, luann.Table(DENSE)), [torch.rand(2, 2, 4, 4)] * 2),
    "msdnet.first": (msdnet.MSDNet_Layer_first(3, 2, luann.Table(SCALES)), torch.rand(2, 3, 8, 8)),
    "msdnet.layer": (
        msdnet.MSDNet_Layer(2, 2, luann.Table(SCALES)),
        [torch.rand(2, 2, 8, 8), torch.rand(2, 4, 4, 4)],
    ),
    "multipathnet.foveal": (multipathnet.Foveal(), REGIONS),
    "multipathnet.context": (multipathnet.ContextRegion(2), REGIONS),
    "multipathnet.stopped": (multipathnet.NoBackprop(nn.Linear(2, 3)), torch.rand(2, 2)),
    "multipathnet.norm": (multipathnet.BBoxNorm(torch.rand(1, 4), torch.rand(1, 4)), torch.rand(2, 8)),
    "multipathnet.switch": (multipathnet.ModeSwitch(nn.Linear(2, 3), nn.Linear(2, 3)), torch.rand(2, 2)),
    "multipathnet.split": (multipathnet.SequentialSplitBatch(2).add(nn.Linear(2, 3)), torch.rand(5, 2)),
    "multipathnet.boxes": (multipathnet.ConvertFrom(), [REGIONS, torch.rand(2, 4)]),
    "multipathnet.best": (multipathnet.SelectBoxes(), [torch.rand(2, 2), torch.rand(2, 8)]),
    "xnor_net": (xnor_net.BinActiveZ(), torch.randn(2, 2)),
}


def converted(value, dtype):
    if isinstance(value, torch.Tensor):
        return value.to(dtype)
    return [converted(v, dtype) for v in value]


@pytest.mark.parametrize("name", CASES)
def test_it_is_kept(name, tmp_path):
    module, input = CASES[name]
    wanted = nn.utils.recursiveCopy(None, module.forward(input))[0]
    saved = tmp_path / "m.t7"
    luann.save(saved, module)
    for twin in module.clone(), pickle.loads(pickle.dumps(module)), luann.load(saved):
        assert type(twin) is type(module)
        assert str(twin) == str(module)
        torch.testing.assert_close(twin.forward(input), wanted, equal_nan=True)
    twin = module.clone()
    twin.getParameters()
    torch.testing.assert_close(twin.forward(input), wanted, equal_nan=True)
    double = module.clone().double()
    found = double.forward(converted(input, torch.float64))
    torch.testing.assert_close(found, converted(wanted, torch.float64), equal_nan=True, rtol=1e-4, atol=1e-5)
    twin.clearState()
    torch.testing.assert_close(twin.forward(input), wanted, equal_nan=True)
