"""What the lines of the page of tensors give, by hand from Torch7's sources and manual."""

import math
import re

import numpy as np
import pytest
import torch
from tensor_lines import TEXT, run, same, tool


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Lua line -> name, value, name, value, ...

X = [[3, 1, 2], [6, 5, 4]]
Y = [[1, 2, 3], [4, 5, 6]]
AB = [[7, 12], [15, 20], [13, 16]]
SORTED = [[1, 2, 3], [4, 5, 6]]
T = np.arange(1.0, 25).reshape(2, 3, 4)
A = [[4, 1, 0], [1, 3, 1], [0, 1, 2]]
BBT = [[5, 11, 17], [11, 25, 39], [17, 39, 61]]  # b bᵀ

RESULTS = {
    # What silently means something else
    "x:add(1)": ("x", [[4, 2, 3], [7, 6, 5]]),
    "z = x:add(1)": ("x", [[4, 2, 3], [7, 6, 5]], "z", [[4, 2, 3], [7, 6, 5]]),
    "z = a * b": ("z", AB),
    "z, i = x:max(2)": ("z", [[3], [6]], "i", [[1], [1]]),
    "z = x:sum(1)": ("z", [[9, 6, 6]]),
    "z = x:sub(1, 2, 2, 3)": ("z", [[1, 2], [5, 4]]),
    "r:mm(a, b)": ("r", AB),
    "z = torch.cat(x, y)": ("z", [[3, 1, 2, 1, 2, 3], [6, 5, 4, 4, 5, 6]]),
    "z, i = x:median()": ("z", [[2], [5]], "i", [[3], [2]]),
    "z = x:std(1, true)": ("z", [[1.5, 2, 1]]),
    "z, i = x:topk(2)": ("z", [[1, 2], [4, 5]], "i", [[2, 3], [3, 2]]),
    "z = torch.range(1, 5)": ("z", [1, 2, 3, 4, 5]),
    "z = torch.Tensor{1, 2}": ("z", [1, 2]),
    "z = torch.Tensor(x)": ("z", X),
    "z = x:reshape(3, 2)": ("z", [[3, 1], [2, 6], [5, 4]]),
    "u:round()": ("u", [-2, -1, 1, 2, 3]),
    "z = n / 2": ("z", [-3, -1, 2, 4]),
    "z = n % 4": ("z", [-3, -2, 1, 1]),
    "z = mask:sum(1)": ("z", [[2, 1, 1]]),
    "v = x:select(2, 1)": ("v", [3, 6]),
    "e = v:max()": ("e", 3),
    "z = x:real()": ("z", X),
    "e = torch.cross(x, y)": ("e", [[-1, -7, 5], [10, -20, 10]]),
    # Indexing
    "z = x[2]": ("z", [6, 5, 4]),
    "e = v[2]": ("e", 2),
    "e = x[2][3]": ("e", 4),
    "e = x[{2, 3}]": ("e", 4),
    "z = x[-1]": ("z", [6, 5, 4]),
    "x[2][3] = 7": ("x", [[3, 1, 2], [6, 5, 7]]),
    "x[{2, 3}] = 7": ("x", [[3, 1, 2], [6, 5, 7]]),
    "x[2] = 7": ("x", [[3, 1, 2], [7, 7, 7]]),
    "x[2] = v": ("x", [[3, 1, 2], [1, 2, 3]]),
    "z = x[{{}, 2}]": ("z", [1, 5]),
    "z = x[{{}, {2}}]": ("z", [[1], [5]]),
    "z = x[{{1, 2}, {}}]": ("z", X),
    "z = x[{{}, {2, 3}}]": ("z", [[1, 2], [5, 4]]),
    "z = x[{{}, {2, -1}}]": ("z", [[1, 2], [5, 4]]),
    "z = x[{{}, {1, -2}}]": ("z", [[3, 1], [6, 5]]),
    "z = x[{{}, {-2, -1}}]": ("z", [[1, 2], [5, 4]]),
    "z = t[{1, {}, {2, 3}}]": ("z", [[2, 3], [6, 7], [10, 11]]),
    "z = t[{{}, 1}]": ("z", [[1, 2, 3, 4], [13, 14, 15, 16]]),
    "x[{{}, {1, 2}}] = 0": ("x", [[0, 0, 2], [0, 0, 4]]),
    "x[{{}, {1, 2}}] = y[{{}, {2, 3}}]": ("x", [[2, 3, 2], [5, 6, 4]]),
    "x[{{}, {1, 2}}]:mul(2)": ("x", [[6, 2, 2], [12, 10, 4]]),
    "x[{{}, 1}]:copy(y[{{}, 3}])": ("x", [[3, 1, 2], [6, 5, 4]]),
    "e = x[torch.LongStorage{2, 3}]": ("e", 4),
    "z = x:narrow(2, 2, 2)": ("z", [[1, 2], [5, 4]]),
    "z = x:sub(1, -1, 2, -1)": ("z", [[1, 2], [5, 4]]),
    "z = v:sub(1, -2)": ("z", [1, 2]),
    "z = x:select(2, 3)": ("z", [2, 4]),
    "e = v:select(1, 3)": ("e", 3),
    "z = x:index(2, idx)": ("z", [[2, 3], [4, 6]]),
    "z = x:index(1, torch.LongTensor{2, 2, 1})": ("z", [[6, 5, 4], [6, 5, 4], [3, 1, 2]]),
    "r:index(x, 2, idx)": ("r", [[2, 3], [4, 6]]),
    "x:indexCopy(2, idx, b:t():narrow(2, 1, 2))": ("x", [[3, 1, 1], [4, 5, 2]]),
    "x:indexAdd(2, idx, y:narrow(2, 1, 2))": ("x", [[5, 1, 3], [11, 5, 8]]),
    "x:indexFill(2, idx, 0)": ("x", [[0, 1, 0], [0, 5, 0]]),
    "z = x:gather(2, k)": ("z", [[3], [4]]),
    "z = torch.gather(x, 2, k)": ("z", [[3], [4]]),
    "x:scatter(2, k, 9)": ("x", [[9, 1, 2], [6, 5, 9]]),
    "torch.scatter(x, 2, k, 9)": ("x", [[9, 1, 2], [6, 5, 9]]),
    "x:scatter(2, k, y:narrow(2, 1, 1))": ("x", [[1, 1, 2], [6, 5, 4]]),
    "z = x[mask]": ("z", [3, 6, 5, 4]),
    "x[mask] = 0": ("x", [[0, 1, 2], [0, 0, 0]]),
    "x[mask] = u": ("x", [[-1.5, 1, 2], [-0.5, 0.5, 1.5]]),
    "z = x:maskedSelect(mask)": ("z", [3, 6, 5, 4]),
    "r:maskedSelect(x, mask)": ("r", [3, 6, 5, 4]),
    "x:maskedFill(mask, 0)": ("x", [[0, 1, 2], [0, 0, 0]]),
    "x:maskedCopy(mask, u)": ("x", [[-1.5, 1, 2], [-0.5, 0.5, 1.5]]),
    "i = mask:nonzero()": ("i", [[1, 1], [2, 1], [2, 2], [2, 3]]),
    "i = torch.nonzero(v:gt(1)):view(-1)": ("i", [2, 3]),
    # Sizes, types and copies
    "size = x:size()": ("size", [2, 3]),
    "size = #x": ("size", [2, 3]),
    "e = x:size(1)": ("e", 2),
    "e = x:dim()": ("e", 2),
    "e = x:nDimension()": ("e", 2),
    "e = x:nElement()": ("e", 6),
    "e = x:numel()": ("e", 6),
    "e = torch.numel(x)": ("e", 6),
    "size = x:stride()": ("size", [3, 1]),
    "e = x:stride(1)": ("e", 3),
    "e = x:isSameSizeAs(y)": ("e", True),
    "e = x:isSize(torch.LongStorage{2, 3})": ("e", True),
    "e = x:isContiguous()": ("e", True),
    "e = x:equal(y)": ("e", False),
    "e = torch.equal(x, y)": ("e", False),
    "x:copy(y)": ("x", Y),
    "x:copy(torch.range(1, 6))": ("x", Y),
    "z = x:clone()": ("z", X),
    "z = x:t():contiguous()": ("z", [[3, 6], [1, 5], [2, 4]]),
    "x:zero()": ("x", [[0] * 3] * 2),
    "torch.zero(x)": ("x", [[0] * 3] * 2),
    "x:fill(2)": ("x", [[2] * 3] * 2),
    "torch.fill(x, 2)": ("x", [[2] * 3] * 2),
    "z = u:long()": ("z", [-1, 0, 0, 1, 2]),
    "z = u:int()": ("z", [-1, 0, 0, 1, 2]),
    "z = u:short()": ("z", [-1, 0, 0, 1, 2]),
    "z = u:char()": ("z", [-1, 0, 0, 1, 2]),
    "z = x:byte()": ("z", X),
    "e = x:elementSize()": ("e", 8),
    "list = x:totable()": ("list", X),
    "list = torch.totable(x)": ("list", X),
    "e = torch.isTensor(x)": ("e", True),
    "e = torch.isTypeOf(x, 'torch.*Tensor')": ("e", True),
    "e = torch.isequal(x, y)": ("e", False),
    # Arithmetic
    "e = v * v": ("e", 14),
    "z = a * v": ("z", [6, 10, 8]),
    "c:add(10)": ("c", [4, 13]),
    "n:div(2)": ("n", [-3, -1, 2, 4]),
    "n:remainder(4)": ("n", [-3, -2, 1, 1]),
    "z = u % 2": ("z", [0.5, 1.5, 0.5, 1.5, 0.5]),
    "u:remainder(2)": ("u", [0.5, 1.5, 0.5, 1.5, 0.5]),
    "z = torch.remainder(u, 2)": ("z", [0.5, 1.5, 0.5, 1.5, 0.5]),
    "u:fmod(2)": ("u", [-1.5, -0.5, 0.5, 1.5, 0.5]),
    "u:mod(2)": ("u", [-1.5, -0.5, 0.5, 1.5, 0.5]),
    "z = torch.fmod(u, 2)": ("z", [-1.5, -0.5, 0.5, 1.5, 0.5]),
    "z = torch.mod(u, 2)": ("z", [-1.5, -0.5, 0.5, 1.5, 0.5]),
    "n:lshift(2)": ("n", [-28, -8, 20, 36]),
    "z = torch.lshift(n, 2)": ("z", [-28, -8, 20, 36]),
    "n:rshift(1)": ("n", [-4, -1, 2, 4]),
    "z = torch.rshift(n, 1)": ("z", [-4, -1, 2, 4]),
    "n:bitand(6)": ("n", [0, 6, 4, 0]),
    "z = torch.bitand(n, 6)": ("z", [0, 6, 4, 0]),
    "n:bitor(6)": ("n", [-1, -2, 7, 15]),
    "z = torch.bitor(n, 6)": ("z", [-1, -2, 7, 15]),
    "n:bitxor(6)": ("n", [-1, -8, 3, 15]),
    "z = torch.bitxor(n, 6)": ("z", [-1, -8, 3, 15]),
    "k:clshift(k)": ("k", [[2], [24]]),
    "k:crshift(k)": ("k", [[0], [0]]),
    "k:cbitand(idx)": ("k", [[1], [1]]),
    "k:cbitor(idx)": ("k", [[3], [3]]),
    "k:cbitxor(idx)": ("k", [[2], [2]]),
    "z = torch.clshift(n, n:clone():fill(1))": ("z", [-14, -4, 10, 18]),
    "z = torch.crshift(n, n:clone():fill(1))": ("z", [-4, -1, 2, 4]),
    "z = torch.cbitand(n, n)": ("z", [-7, -2, 5, 9]),
    "z = torch.cbitor(n, n)": ("z", [-7, -2, 5, 9]),
    "z = torch.cbitxor(n, n)": ("z", [0, 0, 0, 0]),
    # A Lua function for each element
    "x:apply(function(e) return e * 2 end)": ("x", [[6, 2, 4], [12, 10, 8]]),
    "x:apply(function(e) if e > 4 then return 0 end end)": ("x", [[3, 1, 2], [0, 0, 4]]),
    "total = 0; x:apply(function(e) total = total + e end)": ("total", 21),
    "x:map(y, function(e, o) return e * o end)": ("x", [[3, 2, 6], [24, 25, 24]]),
    "x:map2(y, y, function(e, o, w) return e + o * w end)": ("x", [[4, 5, 11], [22, 30, 40]]),
    # Shapes
    "z = x:view(3, 2)": ("z", [[3, 1], [2, 6], [5, 4]]),
    "z = x:view(-1)": ("z", [3, 1, 2, 6, 5, 4]),
    "z = x:viewAs(b)": ("z", [[3, 1], [2, 6], [5, 4]]),
    "z = torch.view(x, 3, 2)": ("z", [[3, 1], [2, 6], [5, 4]]),
    "z = torch.viewAs(x, b)": ("z", [[3, 1], [2, 6], [5, 4]]),
    "r:view(x, 3, 2)": ("r", [[3, 1], [2, 6], [5, 4]]),
    "z = torch.reshape(x, 3, 2)": ("z", [[3, 1], [2, 6], [5, 4]]),
    "x:resize(3, 2)": ("x", [[3, 1], [2, 6], [5, 4]]),
    "r:resize(x:size()):copy(x)": ("r", X),
    "z = x:t()": ("z", [[3, 6], [1, 5], [2, 4]]),
    "z = t:transpose(1, 3)": ("z", T.swapaxes(0, 2).tolist()),
    "z = t:permute(3, 1, 2)": ("z", T.transpose(2, 0, 1).tolist()),
    "z = torch.permute(t, 3, 1, 2)": ("z", T.transpose(2, 0, 1).tolist()),
    "z = x:view(2, 1, 3):squeeze()": ("z", X),
    "z = x:view(2, 1, 3):squeeze(2)": ("z", X),
    "z = torch.squeeze(x:view(2, 1, 3))": ("z", X),
    "e = v:narrow(1, 2, 1):squeeze()": ("e", 2),
    "z = v:view(1, 3):expand(2, 3)": ("z", [[1, 2, 3]] * 2),
    "z = v:view(1, 3):expandAs(x)": ("z", [[1, 2, 3]] * 2),
    "z = torch.expand(v:view(1, 3), 2, 3)": ("z", [[1, 2, 3]] * 2),
    "z = torch.expandAs(v:view(1, 3), x)": ("z", [[1, 2, 3]] * 2),
    "z = v:repeatTensor(2, 2)": ("z", [[1, 2, 3, 1, 2, 3]] * 2),
    "z = torch.repeatTensor(x, 2, 1)": ("z", X + X),
    "r:repeatTensor(v, 2, 1)": ("r", [[1, 2, 3]] * 2),
    "z = v:unfold(1, 2, 1)": ("z", [[1, 2], [2, 3]]),
    "z = torch.cat(v, v)": ("z", [1, 2, 3, 1, 2, 3]),
    "z = torch.cat(x, y, 1)": ("z", X + Y),
    "z = x:cat(y, 1)": ("z", X + Y),
    "torch.cat(r, x, y, 1)": ("r", X + Y),
    "z = torch.cat({x, y, x}, 1)": ("z", X + Y + X),
    "z = torch.cat(v, v, 2)": ("z", [[1, 1], [2, 2], [3, 3]]),
    # New tensors
    "z = torch.Tensor{{1, 2}, {3, 4}}": ("z", [[1, 2], [3, 4]]),
    "z = torch.Tensor(2, 3):fill(5)": ("z", [[5] * 3] * 2),
    "z = torch.Tensor(3):zero()": ("z", [0, 0, 0]),
    "z = torch.ByteTensor{1, 0}": ("z", [1, 0]),
    "z = torch.CharTensor{1, -1}": ("z", [1, -1]),
    "z = torch.LongTensor{1, 2}": ("z", [1, 2]),
    "z = torch.FloatTensor{1, 2}": ("z", [1, 2]),
    "z = torch.DoubleTensor{1, 2}": ("z", [1, 2]),
    "z = torch.zeros(2, 3)": ("z", [[0] * 3] * 2),
    "z = torch.ones(2, 3)": ("z", [[1] * 3] * 2),
    "z = torch.zeros(x:size())": ("z", [[0] * 3] * 2),
    "x:zeros(4)": ("x", [0] * 4),
    "x:ones(4)": ("x", [1] * 4),
    "z = torch.eye(2, 3)": ("z", [[1, 0, 0], [0, 1, 0]]),
    "r:eye(2)": ("r", [[1, 0], [0, 1]]),
    "z = torch.range(2, 5)": ("z", [2, 3, 4, 5]),
    "z = torch.range(5, 1, -2)": ("z", [5, 3, 1]),
    "z = torch.range(2, 5, 1.2)": ("z", [2, 3.2, 4.4]),
    "i = torch.range(1, 3):long()": ("i", [1, 2, 3]),
    "r:range(1, 3)": ("r", [1, 2, 3]),
    "z = torch.linspace(0, 1, 5)": ("z", [0, 0.25, 0.5, 0.75, 1]),
    "r:linspace(0, 1, 5)": ("r", [0, 0.25, 0.5, 0.75, 1]),
    "z = torch.logspace(0, 2, 3)": ("z", [1, 10, 100]),
    "r:logspace(0, 2, 3)": ("r", [1, 10, 100]),
    # Sums, extremes, statistics
    "e = x:sum()": ("e", 21),
    "z = x:sum(2)": ("z", [[6], [15]]),
    "z = x:sum(2):squeeze()": ("z", [6, 15]),
    "z = torch.sum(x, 1)": ("z", [[9, 6, 6]]),
    "torch.sum(r, x, 1)": ("r", [[9, 6, 6]]),
    "e = x:mean()": ("e", 3.5),
    "z = torch.mean(x, 1)": ("z", [[4.5, 3, 3]]),
    "e = x:prod()": ("e", 720),
    "z = torch.prod(x, 2)": ("z", [[6], [120]]),
    "e = x:max()": ("e", 6),
    "z, i = x:max(1)": ("z", [[6, 5, 4]], "i", [[2, 2, 2]]),
    "z = x:max(2)": ("z", [[3], [6]]),
    "torch.max(r, i, x, 2)": ("r", [[3], [6]], "i", [[1], [1]]),
    "e = x:min()": ("e", 1),
    "z, i = torch.min(x, 2)": ("z", [[1], [4]], "i", [[2], [3]]),
    "e = x:std()": ("e", math.sqrt(3.5)),
    "z = x:std(2)": ("z", [[1], [1]]),
    "z = torch.std(x, 2, true)": ("z", [[math.sqrt(2 / 3)]] * 2),
    "e = torch.var(x)": ("e", 3.5),
    "e = x:var(true)": ("e", 17.5 / 6),
    "z = x:var(1)": ("z", [[4.5, 8, 2]]),
    "e = x:norm()": ("e", math.sqrt(91)),
    "e = x:norm(1)": ("e", 21),
    "z = torch.norm(x, 2, 1)": ("z", [[math.sqrt(45), math.sqrt(26), math.sqrt(20)]]),
    "e = x:dist(y)": ("e", math.sqrt(4 + 1 + 1 + 4 + 0 + 4)),
    "e = torch.dist(x, y, 1)": ("e", 8),
    "x:renorm(2, 1, 3)": ("x", [[e * 3 / (math.sqrt(s) + 1e-7) for e in row] for row, s in zip(X, (14, 77))]),
    "z = torch.renorm(x, 2, 1, 3)": (
        "z",
        [[e * 3 / (math.sqrt(s) + 1e-7) for e in row] for row, s in zip(X, (14, 77))],
    ),
    "z = x:cumsum()": ("z", [[3, 1, 2], [9, 6, 6]]),
    "z = torch.cumsum(x, 2)": ("z", [[3, 4, 6], [6, 11, 15]]),
    "z = x:cumprod(2)": ("z", [[3, 3, 6], [6, 30, 120]]),
    "z = torch.cumprod(x)": ("z", [[3, 1, 2], [18, 5, 8]]),
    "z, i = x:sort()": ("z", SORTED, "i", [[2, 3, 1], [3, 2, 1]]),
    "z, i = x:sort(1, true)": ("z", [[6, 5, 4], [3, 1, 2]], "i", [[2, 2, 2], [1, 1, 1]]),
    "z, i = torch.sort(x, 1)": ("z", X, "i", [[1, 1, 1], [2, 2, 2]]),
    "z, i = x:topk(2, 2, true, true)": ("z", [[3, 2], [6, 5]], "i", [[1, 3], [1, 2]]),
    "z, i = torch.topk(x, 2, 2, false, true)": ("z", [[1, 2], [4, 5]], "i", [[2, 3], [3, 2]]),
    "z, i = x:kthvalue(2)": ("z", [[2], [5]], "i", [[3], [2]]),
    "z, i = torch.kthvalue(x, 2, 1)": ("z", [[6, 5, 4]], "i", [[2, 2, 2]]),
    "z, i = x:median(1)": ("z", [[3, 1, 2]], "i", [[1, 1, 1]]),
    "z, i = torch.median(x)": ("z", [[2], [5]], "i", [[3], [2]]),
    "z, i = x:mode()": ("z", [[1], [4]], "i", [[2], [3]]),
    "z, i = torch.mode(x, 1)": ("z", [[3, 1, 2]], "i", [[1, 1, 1]]),
    "z = u:histc(4)": ("z", [1, 1, 1, 2]),
    "z = torch.histc(u, 4, -2, 2)": ("z", [1, 1, 1, 1]),
    "z = x:bhistc(3)": ("z", [[2, 1, 0], [0, 1, 2]]),
    "z = torch.bhistc(x, 3, 1, 6)": ("z", [[2, 1, 0], [0, 1, 2]]),
    # Comparisons and masks
    "torch.gt(x, x, 2)": ("x", [[1, 0, 0], [1, 1, 1]]),
    "e = x:eq(y):sum()": ("e", 1),
    "z = x:gt(2):double()": ("z", [[1, 0, 0], [1, 1, 1]]),
    "z = mask:eq(0)": ("z", [[0, 1, 1], [0, 0, 0]]),
    "z = torch.cmul(x:gt(2), x:lt(5))": ("z", [[1, 0, 0], [0, 0, 1]]),
    "z = torch.cmax(x:lt(2), x:gt(5))": ("z", [[0, 1, 0], [1, 0, 0]]),
    "e = mask:all()": ("e", False),
    "e = mask:any()": ("e", True),
    "e = torch.all(mask)": ("e", False),
    "e = torch.any(mask)": ("e", True),
    "x:cmul(x:gt(2):typeAs(x))": ("x", [[3, 0, 0], [6, 5, 4]]),
    # Matrices
    "z = torch.mm(a, b)": ("z", AB),
    "torch.mm(r, a, b)": ("r", AB),
    "z = torch.mv(a, v)": ("z", [6, 10, 8]),
    "r:mv(a, v)": ("r", [6, 10, 8]),
    "z = torch.bmm(t, t:transpose(2, 3))": ("z", [(m @ m.T).tolist() for m in T]),
    "r:bmm(t, t:transpose(2, 3))": ("r", [(m @ m.T).tolist() for m in T]),
    "e = v:dot(v)": ("e", 14),
    "e = torch.dot(x, y)": ("e", 3 + 2 + 6 + 24 + 25 + 24),
    "z = torch.ger(v, v)": ("z", [[1, 2, 3], [2, 4, 6], [3, 6, 9]]),
    "r:ger(v, v)": ("r", [[1, 2, 3], [2, 4, 6], [3, 6, 9]]),
    "a:addmm(b, b:t())": ("a", [[9, 12, 17], [12, 28, 40], [17, 40, 63]]),
    "a:addmm(2, b, b:t())": ("a", [[14, 23, 34], [23, 53, 79], [34, 79, 124]]),
    "a:addmm(0.5, 2, b, b:t())": ("a", [[12, 22.5, 34], [22.5, 51.5, 78.5], [34, 78.5, 123]]),
    "z = torch.addmm(a, b, b:t())": ("z", [[9, 12, 17], [12, 28, 40], [17, 40, 63]]),
    "z = torch.addmm(0.5, a, 2, b, b:t())": ("z", [[12, 22.5, 34], [22.5, 51.5, 78.5], [34, 78.5, 123]]),
    "torch.addmm(r, a, b, b:t())": ("r", [[9, 12, 17], [12, 28, 40], [17, 40, 63]]),
    "v:addmv(a, v:clone())": ("v", [7, 12, 11]),
    "z = torch.addmv(v, a, v)": ("z", [7, 12, 11]),
    "a:addr(v, v)": ("a", [[5, 3, 3], [3, 7, 7], [3, 7, 11]]),
    "z = torch.addr(a, 2, v, v)": ("z", [[6, 5, 6], [5, 11, 13], [6, 13, 20]]),
    "a:addbmm(t, t:transpose(2, 3))": ("a", (np.array(A) + sum(m @ m.T for m in T)).tolist()),
    "z = torch.addbmm(a, t, t:transpose(2, 3))": ("z", (np.array(A) + sum(m @ m.T for m in T)).tolist()),
    "q:baddbmm(t, t:transpose(2, 3))": ("q", [(m @ m.T).tolist() for m in T]),
    "z = torch.baddbmm(q, t, t:transpose(2, 3))": ("z", [(m @ m.T).tolist() for m in T]),
    "e = a:trace()": ("e", 9),
    "e = torch.trace(a)": ("e", 9),
    "z = a:tril()": ("z", [[4, 0, 0], [1, 3, 0], [0, 1, 2]]),
    "z = torch.tril(a, -1)": ("z", [[0, 0, 0], [1, 0, 0], [0, 1, 0]]),
    "z = a:triu(1)": ("z", [[0, 1, 0], [0, 0, 1], [0, 0, 0]]),
    "z = torch.triu(a)": ("z", [[4, 1, 0], [0, 3, 1], [0, 0, 2]]),
    "z = v:diag()": ("z", [[1, 0, 0], [0, 2, 0], [0, 0, 3]]),
    "z = torch.diag(a, 1)": ("z", [1, 1]),
    "z = x:cross(y)": ("z", [[-1, -7, 5], [10, -20, 10]]),
    "z = torch.cross(x, y, 2)": ("z", [[-1, -7, 5], [10, -20, 10]]),
    "z = torch.match(x, y, 0.5)": ("z", [[3, 16.5], [17.5, 4]]),
    "r:match(x, y)": ("r", [[6, 33], [35, 8]]),
    # Memory and storages
    "z = x:storage()": ("z", [3, 1, 2, 6, 5, 4]),
    "e = x:storage()[3]": ("e", 2),
    "e = x[2]:storageOffset()": ("e", 4),
    "x:set(y)": ("x", Y),
    "x:set(y:storage(), 2, torch.LongStorage{2, 2})": ("x", [[2, 3], [4, 5]]),
    "e = x:isSetTo(y)": ("e", False),
    "list = torch.LongStorage{2, 3}": ("list", [2, 3]),
    "e = torch.isStorage(x:storage())": ("e", True),
    "p = x:data(); e = p[0]": ("e", 3),
    # The other words of torch
    "torch.save('x.t7', x); z = torch.load('x.t7')": ("z", X),
    "torch.saveobj('x.t7', x); z = torch.loadobj('x.t7')": ("z", X),
    "z = torch.deserialize(torch.serialize(x))": ("z", X),
    "z = torch.deserializeFromStorage(torch.serializeToStorage(x))": ("z", X),
}


@pytest.mark.parametrize("lua", RESULTS)
def test_a_line_gives_what_torch7_gives(lua):
    after = run(lua)[2]
    expected = RESULTS[lua]
    for name, value in zip(expected[::2], expected[1::2]):
        same(after[name], value)


def elements(function, *lists):
    return [[function(*entries) for entries in zip(*rows)] for rows in zip(*lists)]


# Of each element e of x and o of y.
OF_TWO = {
    "x:add(2)": lambda e, o: e + 2,
    "x:add(y)": lambda e, o: e + o,
    "x:add(0.5, y)": lambda e, o: e + 0.5 * o,
    "z = torch.add(x, 2)": lambda e, o: e + 2,
    "z = torch.add(x, y)": lambda e, o: e + o,
    "z = torch.add(x, 0.5, y)": lambda e, o: e + 0.5 * o,
    "torch.add(r, x, y)": lambda e, o: e + o,
    "r:add(x, 0.5, y)": lambda e, o: e + 0.5 * o,
    "x:csub(y)": lambda e, o: e - o,
    "x:csub(2)": lambda e, o: e - 2,
    "x:csub(0.5, y)": lambda e, o: e - 0.5 * o,
    "z = torch.csub(x, y)": lambda e, o: e - o,
    "x:mul(2)": lambda e, o: e * 2,
    "z = torch.mul(x, 2)": lambda e, o: e * 2,
    "r:mul(x, 2)": lambda e, o: e * 2,
    "x:cmul(y)": lambda e, o: e * o,
    "z = torch.cmul(x, y)": lambda e, o: e * o,
    "r:cmul(x, y)": lambda e, o: e * o,
    "x:div(2)": lambda e, o: e / 2,
    "z = torch.div(x, 2)": lambda e, o: e / 2,
    "x:cdiv(y)": lambda e, o: e / o,
    "z = torch.cdiv(x, y)": lambda e, o: e / o,
    "r:cdiv(x, y)": lambda e, o: e / o,
    "z = x + y": lambda e, o: e + o,
    "z = x - y": lambda e, o: e - o,
    "z = -x": lambda e, o: -e,
    "z = x * 2": lambda e, o: e * 2,
    "z = x / 2": lambda e, o: e / 2,
    "x:addcmul(0.5, x, y)": lambda e, o: e + 0.5 * e * o,
    "z = torch.addcmul(x, 0.5, y, y)": lambda e, o: e + 0.5 * o * o,
    "x:addcdiv(0.5, x, y)": lambda e, o: e + 0.5 * e / o,
    "z = torch.addcdiv(x, 0.5, x, y)": lambda e, o: e + 0.5 * e / o,
    "x:pow(2)": lambda e, o: e * e,
    "z = torch.pow(x, 2)": lambda e, o: e * e,
    "z = torch.pow(2, x)": lambda e, o: 2**e,
    "x:cpow(y)": lambda e, o: e**o,
    "z = torch.cpow(x, y)": lambda e, o: e**o,
    "x:clamp(2, 4)": lambda e, o: min(max(e, 2), 4),
    "z = torch.clamp(x, 2, 4)": lambda e, o: min(max(e, 2), 4),
    "x:cmax(y)": max,
    "x:cmax(3)": lambda e, o: max(e, 3),
    "z = torch.cmax(x, y)": max,
    "x:cmin(y)": min,
    "z = torch.cmin(x, 3)": lambda e, o: min(e, 3),
    "x:lerp(y, 0.5)": lambda e, o: e + 0.5 * (o - e),
    "z = torch.lerp(x, y, 0.25)": lambda e, o: e + 0.25 * (o - e),
    "x:cfmod(y)": math.fmod,
    "x:cmod(y)": math.fmod,
    "x:cremainder(y)": lambda e, o: e - o * math.floor(e / o),
    "z = torch.cfmod(x, y)": math.fmod,
    "z = torch.cmod(x, y)": math.fmod,
    "z = torch.cremainder(x, y)": lambda e, o: e - o * math.floor(e / o),
    "z = x:gt(2)": lambda e, o: e > 2,
    "z = x:gt(y)": lambda e, o: e > o,
    "z = x:lt(2)": lambda e, o: e < 2,
    "z = x:ge(2)": lambda e, o: e >= 2,
    "z = x:le(2)": lambda e, o: e <= 2,
    "z = x:eq(2)": lambda e, o: e == 2,
    "z = x:ne(2)": lambda e, o: e != 2,
    "z = torch.gt(x, y)": lambda e, o: e > o,
    "z = torch.lt(x, 2)": lambda e, o: e < 2,
    "z = torch.ge(x, 2)": lambda e, o: e >= 2,
    "z = torch.le(x, 2)": lambda e, o: e <= 2,
    "z = torch.eq(x, y)": lambda e, o: e == o,
    "z = torch.ne(x, y)": lambda e, o: e != o,
}


@pytest.mark.parametrize("lua", OF_TWO)
def test_arithmetic_of_each_element(lua):
    same(run(lua)[2][re.match(r"(?:torch\.\w+\()?(\w+)", lua)[1]], elements(OF_TWO[lua], X, Y))


SMALL = [[-0.75, -0.5, -0.25], [0.25, 0.5, 0.75]]
LARGE = [[0.5, 1.5, 2.5], [3.25, 4.75, 5]]
FUNCTIONS = {
    name: getattr(math, name)
    for name in "acos asin atan ceil cos cosh exp floor log log1p sin sinh sqrt tan tanh trunc".split()
} | {
    "abs": abs,
    "cinv": lambda e: 1 / e,
    "frac": lambda e: math.modf(e)[0],
    "neg": lambda e: -e,
    "round": lambda e: math.copysign(math.floor(abs(e) + 0.5), e),
    "rsqrt": lambda e: 1 / math.sqrt(e),
    "sigmoid": lambda e: 1 / (1 + math.exp(-e)),
    "sign": lambda e: (e > 0) - (e < 0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_each_element(name):
    values = LARGE if name in ("log", "sqrt", "rsqrt") else SMALL
    for lua, result in ((f"x:{name}()", "x"), (f"z = torch.{name}(x)", "z")):
        after = run(lua, x=torch.tensor(values, dtype=torch.float64))[2]
        same(after[result], elements(FUNCTIONS[name], values))


def test_atan2():
    same(run("x:atan2(y)")[2]["x"], elements(math.atan2, X, Y))
    same(run("z = torch.atan2(x, y)")[2]["z"], elements(math.atan2, X, Y))


def test_every_function_of_an_element_is_compared():
    heading = "Functions of each element"
    listed = {name for where, _, lua, _ in tool.rows(TEXT) if where == heading for name in re.findall(r":(\w+)", lua)}
    assert listed == FUNCTIONS.keys() | {"atan2"}


TYPES = {
    "z = x:float()": torch.float32,
    "z = x:double()": torch.float64,
    "z = x:half()": torch.float16,
    "z = u:long()": torch.int64,
    "z = u:int()": torch.int32,
    "z = u:short()": torch.int16,
    "z = u:char()": torch.int8,
    "z = x:byte()": torch.uint8,
    "z = x:real()": torch.float64,
    "z = x:type('torch.FloatTensor')": torch.float32,
    "z = x:typeAs(n)": torch.int64,
    "z = torch.Tensor()": torch.float64,
    "z = torch.Tensor{1, 2}": torch.float64,
    "z = torch.ByteTensor{1, 0}": torch.uint8,
    "z = torch.CharTensor{1, -1}": torch.int8,
    "z = torch.ShortTensor{1}": torch.int16,
    "z = torch.IntTensor{1, 2}": torch.int32,
    "z = torch.LongTensor{1, 2}": torch.int64,
    "z = torch.HalfTensor(2)": torch.float16,
    "z = torch.FloatTensor{1, 2}": torch.float32,
    "z = torch.DoubleTensor{1, 2}": torch.float64,
    "z = torch.range(1, 5)": torch.float64,
    "z = torch.range(2, 5)": torch.float64,
    "z = n / 2": torch.int64,
    "z = n % 4": torch.int64,
    "z = mask:sum(1)": torch.uint8,
    "z = torch.zeros(2, 3)": torch.float64,
    "z = torch.randperm(5)": torch.float64,
}


@pytest.mark.parametrize("lua", TYPES)
def test_types(lua):
    assert run(lua)[2]["z"].dtype == TYPES[lua]


SIZES = {
    "z = torch.Tensor()": [0],
    "z = torch.Tensor(2, 3)": [2, 3],
    "z = torch.Tensor(torch.LongStorage{2, 3})": [2, 3],
    "z = torch.Tensor(x:size())": [2, 3],
    "z = x.new(2, 2)": [2, 2],
    "z = x.new()": [0],
    "r:resizeAs(x)": [2, 3],
}


@pytest.mark.parametrize("lua", SIZES)
def test_sizes(lua):
    assert list(run(lua)[2][lua[0]].shape) == SIZES[lua]


WORDS = {
    "name = x:type()": "torch.DoubleTensor",
    "name = torch.typename(x)": "torch.DoubleTensor",
    "name = torch.type(x)": "torch.DoubleTensor",
    "name = torch.getdefaulttensortype()": "torch.DoubleTensor",
}


@pytest.mark.parametrize("lua", WORDS)
def test_words(lua):
    assert run(lua)[2]["name"] == WORDS[lua]


VIEWS = [
    "z = x:view(3, 2)",
    "z = x[2]",
    "z = x:narrow(2, 2, 2)",
    "z = x:sub(1, -1, 2, -1)",
    "z = x:select(2, 3)",
    "z = x[{{}, 2}]",
    "z = x:t()",
    "z = torch.Tensor(x)",
    "z = x:storage()",
    "z = x:view(2, 1, 3):squeeze()",
    "r:view(x, 3, 2)",
    "x:set(y)",
]


@pytest.mark.parametrize("lua", VIEWS)
def test_views_share_the_memory(lua):
    after = run(lua)[2]
    after[lua[0]].zero_()
    assert (after["y" if lua == "x:set(y)" else "x"] == 0).any()


@pytest.mark.parametrize("lua", ["z = x:reshape(3, 2)", "z = torch.reshape(x, 3, 2)", "z = x:clone()", "z = x[mask]"])
def test_copies_do_not(lua):
    _, values, after = run(lua)
    after["z"].zero_()
    assert torch.equal(after["x"], values["x"])


PIECES = ["list = x:split(2, 2)", "list = torch.split(x, 2, 2)", "list = x:chunk(2, 2)", "list = torch.chunk(x, 2, 2)"]


@pytest.mark.parametrize("lua", PIECES)
def test_pieces(lua):
    first, second = run(lua)[2]["list"]
    same(first, [[3, 1], [6, 5]])
    same(second, [[2], [4]])


@pytest.mark.parametrize("lua", ["p = torch.data(x)", "p = x:data(); e = p[0]"])
def test_data_shares_the_memory(lua):
    after = run(lua)[2]
    after["p"][2] = 9
    same(after["x"], [[3, 1, 9], [6, 5, 4]])


def test_what_the_page_says_of_nan():
    nan = torch.tensor([[math.nan, 1.0, 2.0]] * 2, dtype=torch.float64)
    assert run("x:clamp(2, 4)", x=nan.clone())[2]["x"].isnan()[0, 0]
    assert math.isnan(run("e = x:max()", x=nan)[2]["e"])
    assert run("z, i = x:max(2)", x=nan)[2]["i"].tolist() == [[1], [1]]
    assert run("z = torch.cmax(x, y)", x=nan)[2]["z"].isnan()[0, 0]
    assert run("x:sign()", x=nan.clone())[2]["x"][0, 0] == 0


def test_what_the_page_says_of_equal_elements():
    ties = torch.tensor([[2.0, 1, 1, 2], [3, 3, 3, 3]], dtype=torch.float64)
    assert run("z, i = x:max(2)", x=ties)[2]["i"].tolist() == [[1], [1]]
    assert run("z, i = x:mode()", x=ties)[2]["z"].tolist() == [[1], [3]]
    assert run("z, i = x:median()", x=ties)[2]["z"].tolist() == [[1], [3]]


def test_every_row_is_compared():
    """But random numbers and some words of torch, which only run, and addresses in memory."""
    elsewhere = {"Random numbers", "Linear algebra", "Convolutions", "The other words of torch"}
    compared = {*RESULTS, *OF_TWO, *TYPES, *SIZES, *WORDS, *PIECES, "p = torch.data(x)"}
    compared |= {form for name in FUNCTIONS for form in (f"x:{name}()", f"z = torch.{name}(x)")}
    compared |= {"x:atan2(y)", "z = torch.atan2(x, y)"}
    rows = {lua for heading, _, lua, python in tool.rows(TEXT) if python and heading not in elsewhere}
    in_algebra = {"e = torch.symeig(a)", "torch.manualSeed(123)"}
    assert rows - compared == in_algebra | {"p = x:cdata()", "p = torch.cdata(x)", "p = torch.pointer(x)"}
