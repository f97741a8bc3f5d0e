"""The gradient checkers find what is wrong and pass what is right."""

import pytest
import torch

from luann import nn

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)


class Wrong(nn.Linear):
    """A Linear whose gradients are a little off."""

    def updateGradInput(self, input, gradOutput):
        return super().updateGradInput(input, gradOutput).mul_(1.01)

    def accGradParameters(self, input, gradOutput, scale=1):
        super().accGradParameters(input, gradOutput, 1.01 * scale)


def test_right_layers_pass():
    m, x = nn.Linear(4, 3), torch.empty(2, 4)
    assert nn.Jacobian.testJacobian(m, x) < 1e-8
    for param, grad in (("weight", "gradWeight"), ("bias", "gradBias")):
        assert nn.Jacobian.testJacobianParameters(m, x, getattr(m, param), getattr(m, grad)) < 1e-8
        assert nn.Jacobian.testJacobianUpdateParameters(m, x, getattr(m, param)) < 1e-8
        assert max(nn.Jacobian.testAllUpdate(m, x, param, grad).values()) < 1e-12
    assert nn.Jacobian.testIO(m, x) == (0, 0)


def test_wrong_layers_are_found():
    m, x = Wrong(4, 3), torch.empty(2, 4)
    assert nn.Jacobian.testJacobian(m, x) > 1e-4
    assert nn.Jacobian.testJacobianParameters(m, x, m.weight, m.gradWeight) > 1e-4
    assert nn.Jacobian.testJacobianUpdateParameters(m, x, m.weight) > 1e-4


def test_parameters_are_put_back():
    m, x = nn.Linear(4, 3), torch.randn(2, 4)
    before = m.weight.clone()
    nn.Jacobian.backwardUpdate(m, x, m.weight)
    nn.Jacobian.forward(m, x, m.weight)
    assert torch.equal(m.weight, before)


def test_the_jacobian_of_a_linear_layer_is_its_weight():
    m, x = nn.Linear(4, 3), torch.randn(4)
    torch.testing.assert_close(nn.Jacobian.backward(m, x), m.weight.t())
    torch.testing.assert_close(nn.Jacobian.forward(m, x), m.weight.t(), rtol=1e-6, atol=1e-8)
