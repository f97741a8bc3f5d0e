import pytest
import records
import torch
import torch.nn.functional as F
from against_torch import agrees

import luann
from luann.contrib import stn


@records.of(
    "rocks/stnbhwd", "AffineGridGeneratorBHWD", "AffineTransformMatrixGenerator", "BilinearSamplerBHWD", "pipeline"
)
def test_record(case):
    records.check(case)


def test_grids_agree_with_torch():
    def grid(m, height=3, width=4):
        # PyTorch's points are (x, y), the matrix is one for these
        swapped = m.reshape(-1, 2, 3)[:, [1, 0]][:, :, [1, 0, 2]]
        points = F.affine_grid(swapped, (len(swapped), 1, height, width), align_corners=True).flip(-1)
        return points.reshape(*m.shape[:-2], height, width, 2)

    agrees(stn.AffineGridGeneratorBHWD(3, 4), grid, (2, 2, 3), (2, 3), (5, 2, 3))


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("use", [(True, True, True), (False, True, True), (True, False, True), (True, True), ()])
def test_matrices_agree_with_products_of_matrices(use, scales):
    def matrix(p):
        rows, zero, one = p.reshape(-1, p.shape[-1]), torch.zeros(1).double(), torch.ones(1).double()
        if not any(use):
            return p.reshape(*p.shape[:-1], 2, 3)
        found = []
        for row in rows:
            entries, product = list(row), torch.eye(3).double()
            if use[0]:
                a = entries.pop(0).reshape(1)
                rotation = [[a.cos(), -a.sin(), zero], [a.sin(), a.cos(), zero], [zero, zero, one]]
                product = product @ torch.cat([torch.cat(r)[None] for r in rotation])
            if len(use) > 1 and use[1]:
                first = entries.pop(0)[None]
                second = entries.pop(0)[None] if scales == 2 else first
                product = product @ torch.diag(torch.cat((first, second, one)))
            if len(use) > 2 and use[2]:
                shift = [[one, zero, entries.pop(0)[None]], [zero, one, entries.pop(0)[None]], [zero, zero, one]]
                product = product @ torch.cat([torch.cat(r)[None] for r in shift])
            found.append(product[:2])
        return torch.stack(found).reshape(*p.shape[:-1], 2, 3)

    size = sum(n for n, used in zip((1, scales, 2), use) if used) or 6
    module = stn.AffineTransformMatrixGenerator(*use).double()
    for shape in ((3, size), (size,)):
        x = torch.randn(shape).double().requires_grad_()
        y = matrix(x)
        g = torch.randn_like(y)
        torch.testing.assert_close(module.forward(x.detach()), y.detach())
        torch.testing.assert_close(module.backward(x.detach(), g), torch.autograd.grad(y, x, g)[0])


def test_sampling_agrees_with_torch():
    module = stn.BilinearSamplerBHWD().double()
    for images, grids in [((2, 4, 5, 3), (2, 3, 6, 2)), ((4, 6, 2), (3, 3, 2)), ((1, 2, 2, 1), (1, 1, 1, 2))]:
        x = torch.randn(images).double().requires_grad_()
        points = (torch.rand(grids).double() * 3 - 1.5).requires_grad_()
        planes = x.reshape(-1, *x.shape[-3:]).permute(0, 3, 1, 2)
        y = F.grid_sample(planes, points.reshape(-1, *grids[-3:]).flip(-1), align_corners=True)
        y = y.permute(0, 2, 3, 1).reshape(*grids[:-1], images[-1])
        g = torch.randn_like(y)
        wanted = torch.autograd.grad(y, (x, points), g)
        given = [x.detach(), points.detach()]
        torch.testing.assert_close(module.forward(given), y.detach())
        torch.testing.assert_close(module.backward(given, g), list(wanted))


def test_where_the_gradient_jumps_it_is_taken_on_the_right_side():
    # between two pixels the image rises by 1, between the next two by 10: at a pixel the later interval counts
    image = torch.tensor([0.0, 1, 11]).view(1, 3, 1)
    points = torch.tensor([[0.0, -1], [0, 0], [0, 1]]).view(1, 3, 2)
    module = stn.BilinearSamplerBHWD().float()
    module.forward([image, points])
    # at the last pixel what lies beyond is outside: 0
    assert module.backward([image, points], torch.ones(1, 3, 1))[1][0, :, 1].tolist() == [1, 10, -11]


def test_what_does_not_fit_is_told():
    with pytest.raises(luann.Error, match=r"nn\.AffineGridGeneratorBHWD: height and width are from 2 on, got 1 and 3"):
        stn.AffineGridGeneratorBHWD(1, 3)
    with pytest.raises(luann.Error, match=r"4 parameters for each transform, got 2x3"):
        stn.AffineTransformMatrixGenerator(True, True, True).forward(torch.zeros(2, 3))
    with pytest.raises(luann.Error, match="wanted images of B x H x W x D and grids"):
        stn.BilinearSamplerBHWD().forward([torch.zeros(2, 4, 4, 1), torch.zeros(1, 4, 4, 2)])
