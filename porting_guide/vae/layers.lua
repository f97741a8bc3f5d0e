-- The two classes of the variational autoencoder that nn does not have.
require 'torch'
require 'nn'

-- Draws a code: {mean, logvar} -> mean + exp(logvar / 2) * noise. After evaluate() the code is the mean.
-- torch.class makes the class known to torch.load under its name.
local Sampler, parent = torch.class('nn.Sampler', 'nn.Module')

function Sampler:__init()
   parent.__init(self)
   self.train = true
   self.noise, self.stdv = torch.Tensor(), torch.Tensor()
   self.gradInput = {}
end

function Sampler:updateOutput(input)
   local mean, logvar = unpack(input)
   self.output:resizeAs(mean):copy(mean)
   if self.train then
      self.stdv:resizeAs(logvar):copy(logvar):div(2):exp()
      self.noise:resizeAs(logvar):normal(0, 1)
      self.output:addcmul(self.stdv, self.noise)
   end
   return self.output
end

function Sampler:updateGradInput(input, gradOutput)
   if #self.gradInput == 0 then self.gradInput = {input[1].new(), input[2].new()} end
   self.gradInput[1]:resizeAs(gradOutput):copy(gradOutput)
   self.gradInput[2]:resizeAs(gradOutput):zero()
   if self.train then
      self.gradInput[2]:addcmul(0.5, self.stdv, self.noise):cmul(gradOutput)
   end
   return self.gradInput
end

function Sampler:clearState()
   nn.utils.clear(self, 'noise', 'stdv')
   return parent.clearState(self)
end

-- How far the codes' normal distributions are from the standard one: the Kullback-Leibler divergence, summed up.
-- Input: {mean, logvar}. There is no target.
local KLDCriterion = torch.class('nn.KLDCriterion', 'nn.Criterion')

function KLDCriterion:updateOutput(input)
   local mean, logvar = unpack(input)
   local sum = torch.exp(logvar):add(torch.pow(mean, 2)):add(-1, logvar):sum()
   self.output = (sum - mean:nElement()) / 2
   return self.output
end

function KLDCriterion:updateGradInput(input)
   local mean, logvar = unpack(input)
   self.gradInput = {mean:clone(), torch.exp(logvar):add(-1):div(2)}
   return self.gradInput
end
