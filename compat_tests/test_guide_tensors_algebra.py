"""Convolutions, linear algebra and random numbers of the page of tensors: the lines against the definitions."""

import numpy as np
import pytest
import torch
from tensor_lines import run, same


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def naive(image, kernel, full, turned):
    """A convolution (turned) or correlation by its definition, of arrays with any number of dimensions."""
    kernel = np.flip(kernel) if turned else kernel
    if full:
        image = np.pad(image, [(size - 1, size - 1) for size in kernel.shape])
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)
    return (windows * kernel).sum(tuple(range(-kernel.ndim, 0)))


T = np.arange(1.0, 25).reshape(2, 3, 4)
A, KERNEL = np.array([[4.0, 1, 0], [1, 3, 1], [0, 1, 2]]), np.array([[1.0, 2], [3, 4]])
G, H = np.arange(1.0, 9).reshape(2, 2, 2), np.arange(1.0, 25).reshape(3, 2, 2, 2)
CONVOLUTIONS = {
    "z = torch.conv2(a, f)": naive(A, KERNEL, False, True),
    "z = torch.conv2(a, f, 'F')": naive(A, KERNEL, True, True),
    "z = a:conv2(f)": naive(A, KERNEL, False, True),
    "z = torch.xcorr2(a, f)": naive(A, KERNEL, False, False),
    "z = a:xcorr2(f, 'F')": naive(A, KERNEL, True, False),
    "z = torch.conv2(t, g)": np.stack([naive(T[j], G[j], False, True) for j in range(2)]),
    "z = torch.conv2(t, h)": np.stack([sum(naive(T[j], H[o, j], False, True) for j in range(2)) for o in range(3)]),
    "z = torch.conv3(t, g)": naive(T, G, False, True),
    "z = torch.xcorr3(t, g, 'F')": naive(T, G, True, False),
    "z = t:conv3(g)": naive(T, G, False, True),
    "z = t:xcorr3(g)": naive(T, G, False, False),
}


@pytest.mark.parametrize("lua", CONVOLUTIONS)
def test_convolutions(lua):
    same(run(lua)[2]["z"], CONVOLUTIONS[lua].tolist())


def test_the_manuals_convolution_sizes():
    """Torch7's manual: 100 x 100 and 10 x 10 give 91 x 91, and 109 x 109 with 'F'."""
    assert naive(np.ones((100, 100)), np.ones((10, 10)), False, True).shape == (91, 91)
    assert naive(np.ones((100, 100)), np.ones((10, 10)), True, True).shape == (109, 109)


# Linear algebra: what defines the result.
B = np.array([[1.0, 2], [3, 4], [5, 6]])
UPPER = np.triu(A)


def orthogonal(matrix):
    return matrix.T @ matrix - np.eye(matrix.shape[1])


ZERO = {
    "z = torch.inverse(a)": lambda n: A @ n.z - np.eye(3),
    "z = torch.gesv(b, a)": lambda n: A @ n.z - B,
    "z, lu = torch.gesv(b, a)": lambda n: A @ n.z - B,
    "z = torch.gels(a, b)": lambda n: B.T @ (B @ n.z - A),  # the normal equations
    "e, z = torch.symeig(a, 'V')": lambda n: n.z @ np.diag(n.e) @ n.z.T - A,
    "e, z = torch.eig(a, 'V')": lambda n: A @ n.z - n.z @ np.diag(n.e[:, 0]),
    "U, S, V = torch.svd(b)": lambda n: n.U @ np.diag(n.S) @ n.V.T - B,
    "U, S, V = torch.svd(b, 'A')": lambda n: n.U[:, :2] @ np.diag(n.S) @ n.V.T - B,
    "Q, R = torch.qr(b)": lambda n: n.Q @ n.R - B,
    "z = torch.potrf(a)": lambda n: n.z.T @ n.z - A,
    "z = torch.potrf(a, 'L')": lambda n: n.z @ n.z.T - A,
    "z = torch.potrs(b, torch.potrf(a))": lambda n: A @ n.z - B,
    "z = torch.potri(torch.potrf(a))": lambda n: A @ n.z - np.eye(3),
    "z = torch.trtrs(b, a)": lambda n: UPPER @ n.z - B,
    "z = torch.trtrs(b, a, 'L', 'T', 'U')": lambda n: (np.tril(A, -1) + np.eye(3)).T @ n.z - B,
    "m, tau = torch.geqrf(b); Q = torch.orgqr(m, tau)": lambda n: n.Q @ np.triu(n.m[:2]) - B,
    # Q' Q = 1 for the whole Q, and its first columns are those of orgqr
    "m, tau = torch.geqrf(b); z = torch.ormqr(m, tau, a)": lambda n: n.z.T @ n.z - A.T @ A,
    "m, tau = torch.geqrf(b); z = torch.ormqr(m, tau, a, 'R', 'T')": lambda n: n.z @ n.z.T - A @ A.T,
}


class Arrays:
    """The tensors of a namespace, as arrays."""

    def __init__(self, names):
        for name, value in names.items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value.numpy())


@pytest.mark.parametrize("lua", ZERO)
def test_linear_algebra(lua):
    np.testing.assert_allclose(ZERO[lua](Arrays(run(lua)[2])), 0, atol=1e-12)


def test_the_forms_of_decompositions():
    def result(lua):
        return Arrays(run(lua)[2])

    e = result("e = torch.symeig(a)").e
    assert (np.diff(e) > 0).all()
    assert abs(e.sum() - 9) < 1e-12
    pairs = result("e = torch.eig(a)").e
    assert pairs.shape == (3, 2)
    np.testing.assert_allclose(np.sort(pairs[:, 0]), e)
    np.testing.assert_array_equal(pairs[:, 1], 0)
    thin, whole = result("U, S, V = torch.svd(b)"), result("U, S, V = torch.svd(b, 'A')")
    assert (thin.U.shape, thin.S.shape, thin.V.shape) == ((3, 2), (2,), (2, 2))
    assert (whole.U.shape, whole.S.shape, whole.V.shape) == ((3, 3), (2,), (2, 2))
    assert abs(orthogonal(whole.U)).max() < 1e-12
    assert np.array_equal(result("z = torch.potrf(a)").z, np.triu(result("z = torch.potrf(a)").z))
    assert result("Q, R = torch.qr(b)").Q.shape == (3, 2)
    assert result("m, tau = torch.geqrf(b)").m.shape == (3, 2)
    q = result("m, tau = torch.geqrf(b); Q = torch.orgqr(m, tau)").Q
    left = result("m, tau = torch.geqrf(b); z = torch.ormqr(m, tau, a)").z  # Q a
    right = result("m, tau = torch.geqrf(b); z = torch.ormqr(m, tau, a, 'R', 'T')").z  # a Q'
    np.testing.assert_allclose((left @ np.linalg.inv(A))[:, :2], q[:, :2], atol=1e-12)
    np.testing.assert_allclose((np.linalg.inv(A) @ right).T[:, :2], q[:, :2], atol=1e-12)


def test_the_manuals_triangle():
    """The upper triangle alone is read: the example of torch.symeig in Torch7's manual, with its numbers."""
    upper = torch.tensor(
        [
            [1.96, -6.49, -0.47, -7.20, -0.65],
            [0.0, 3.8, -6.39, 1.5, -6.34],
            [0, 0, 4.17, -1.51, 2.67],
            [0, 0, 0, 5.7, 1.8],
            [0, 0, 0, 0, -7.1],
        ],
        dtype=torch.float64,
    )
    e = run("e = torch.symeig(a)", a=upper)[2]["e"]
    np.testing.assert_allclose(e, [-11.0656, -6.2287, 0.8640, 8.8655, 16.0948], atol=5e-5)  # printed with 4 digits


def test_the_manuals_least_squares():
    """The example of torch.gels in Torch7's manual; its first 4 rows are the solution."""
    matrix = [
        [1.44, -7.84, -4.39, 4.53],
        [-9.96, -0.28, -3.24, 3.83],
        [-7.55, 3.24, 6.27, -6.64],
        [8.34, 8.09, 5.28, 2.06],
        [7.08, 2.52, 0.74, -2.47],
        [-5.45, -5.70, -1.19, 4.70],
    ]
    right = [[8.58, 9.35], [8.26, -4.43], [8.48, -0.70], [-5.28, -0.26], [5.72, -7.36], [8.93, -2.52]]
    given = {"a": torch.tensor(right, dtype=torch.float64), "b": torch.tensor(matrix, dtype=torch.float64)}
    z = run("z = torch.gels(a, b)", **given)[2]["z"]
    expected = [[-0.4506, 0.2497], [-0.8492, -0.9020], [0.7066, 0.6323], [0.1289, 0.1351]]
    np.testing.assert_allclose(z, expected, atol=5e-5)


def test_random_numbers_are_those_of_the_stream():
    """Of torch.manualSeed(1); NumPy has the same generator. Formulas as in Torch7's THRandom.c."""
    words = np.random.RandomState(1).randint(0, 2**32, 6, dtype=np.uint32).astype(np.int64)
    unit = (words / 2**32).tolist()

    def result(lua, name):
        return run(lua)[2][name]

    assert result("e = torch.random()", "e") == words[0]
    assert result("e = torch.random(6)", "e") == words[0] % 6 + 1
    assert result("e = torch.random(3, 6)", "e") == words[0] % 4 + 3
    same(result("x:random(6)", "x"), (words % 6 + 1).reshape(2, 3).tolist())
    same(result("z = torch.rand(2, 3)", "z"), np.reshape(unit, (2, 3)).tolist())
    same(result("x:rand(2, 2)", "x"), np.reshape(unit[:4], (2, 2)).tolist())
    assert result("e = torch.uniform(-1, 1)", "e") == unit[0] * 2 - 1
    same(result("x:uniform(-1, 1)", "x"), (np.reshape(unit, (2, 3)) * 2 - 1).tolist())
    same(
        result("gen = torch.Generator(); torch.manualSeed(gen, 1); x:uniform(gen, 0, 1)", "x"), np.reshape(unit, (2, 3))
    )
    same(result("x:bernoulli(0.5)", "x"), (np.reshape(unit, (2, 3)) <= 0.5).tolist())
    same(result("x:exponential(2)", "x"), (-0.5 * np.log(1 - np.reshape(unit, (2, 3)))).tolist())
    for lua, name in (
        ("z = torch.randperm(5)", "z"),
        ("i = torch.randperm(5):long()", "i"),
        ("r:randperm(5)", "r"),
    ):
        assert sorted(result(lua, name).tolist()) == [1, 2, 3, 4, 5]
    assert len(set(result("i = torch.multinomial(v, 2)", "i").tolist()) & {1, 2, 3}) == 2
    assert set(result("i = torch.multinomial(v, 5, true)", "i").tolist()) <= {1, 2, 3}
    assert result("e = torch.initialSeed()", "e") == 1
