# The two classes of the variational autoencoder that nn does not have. The port of layers.lua, line by line.
import torch, luann
from luann import nn

# Draws a code: [mean, logvar] -> mean + exp(logvar / 2) * noise. After evaluate() the code is the mean.
@luann.t7.register("nn.Sampler")  # makes the class known to luann.load under this name
class Sampler(nn.Module):

    def __init__(self):
        super().__init__()
        self.train = True
        self.noise, self.stdv = torch.empty(0), torch.empty(0)
        self.gradInput = []


    def updateOutput(self, input):
        mean, logvar = input
        self.output.resize_as_(mean).copy_(mean)
        if self.train:
            self.stdv.resize_as_(logvar).copy_(logvar).div_(2).exp_()
            luann.random.normal(self.noise.resize_as_(logvar), 0, 1)
            self.output.addcmul_(self.stdv, self.noise)

        return self.output


    def updateGradInput(self, input, gradOutput):
        if len(self.gradInput) == 0: self.gradInput = [input[0].new_empty(0), input[1].new_empty(0)]
        self.gradInput[0].resize_as_(gradOutput).copy_(gradOutput)
        self.gradInput[1].resize_as_(gradOutput).zero_()
        if self.train:
            self.gradInput[1].addcmul_(self.stdv, self.noise, value=0.5).mul_(gradOutput)

        return self.gradInput


    def clearState(self):
        nn.utils.clear(self, "noise", "stdv")
        return super().clearState()


# How far the codes' normal distributions are from the standard one: the Kullback-Leibler divergence, summed up.
@luann.t7.register("nn.KLDCriterion")  # Input: [mean, logvar]. There is no target.
class KLDCriterion(nn.Criterion):

    def updateOutput(self, input, target=None):
        mean, logvar = input
        sum = torch.exp(logvar).add_(torch.pow(mean, 2)).sub_(logvar).sum().item()
        self.output = (sum - mean.numel()) / 2
        return self.output


    def updateGradInput(self, input, target=None):
        mean, logvar = input
        self.gradInput = [mean.clone(), torch.exp(logvar).sub_(1).div_(2)]
        return self.gradInput

