-- Teaches the net of pretrain.lua, which knows the digits 0 to 4, the digits 5 to 9 from a few images of each.
-- Run it where a Torch7 is installed:  th pretrain.lua; th train.lua
require 'torch'
require 'nn'
require 'optim'
require 'xlua'

local cmd = torch.CmdLine()
cmd:text('Teach a trained net new classes')
cmd:text('Options')
cmd:option('-data', '../digits/digits.csv', 'the images, one a line')
cmd:option('-save', 'run', 'the folder for the net')
cmd:option('-base', 'run/base.t7', 'the net to begin with')
cmd:option('-scratch', false, 'draw its parameters anew, for comparison')
cmd:option('-seed', 1, 'seed of the random numbers')
cmd:option('-perClass', 4, 'images of each class to learn from')
cmd:option('-headEpochs', 20, 'how many times each image is shown while only the new layer learns')
cmd:option('-epochs', 40, 'how many times each image is shown while all layers learn')
cmd:option('-batchSize', 5, 'images in a batch')
cmd:option('-learningRate', 0.05, 'of the new layer')
cmd:option('-baseRate', 0.1, 'the factor to it for the other layers')
cmd:option('-momentum', 0.9, 'of sgd')
local opt = cmd:parse(arg)

torch.setdefaulttensortype('torch.DoubleTensor')
torch.setnumthreads(1)
torch.manualSeed(opt.seed)

-- The images of the digits 5 to 9, with classes from 1 to 5; the first of each to learn from, the others for the test.
local function loadDigits(path, perClass)
   local train, test = {images = {}, classes = {}}, {images = {}, classes = {}}
   local seen = {0, 0, 0, 0, 0}
   for line in io.lines(path) do
      local row = {}
      for number in line:gmatch('%d+') do table.insert(row, tonumber(number)) end
      local class = table.remove(row) - 4
      if class >= 1 then
         seen[class] = seen[class] + 1
         local part = seen[class] <= perClass and train or test
         table.insert(part.images, row)
         table.insert(part.classes, class)
      end
   end
   for _, part in ipairs({train, test}) do
      part.images = torch.Tensor(part.images):view(-1, 1, 8, 8):div(16)
      part.classes = torch.LongTensor(part.classes)
   end
   return train, test
end

-- The net without its last four layers, and new ones in their place.
local model = torch.load(opt.base)
for last = 1, 4 do model:remove() end
local head = nn.Sequential()
head:add(nn.Linear(16 * 4 * 4, 5))
head:add(nn.LogSoftMax())
model:add(head)
if opt.scratch then model:reset() end
-- Nobody uses the gradient with respect to the images: the first layer need not compute it.
model:get(1).gradInput = nil
print(model)

local trainSet, testSet = loadDigits(opt.data, opt.perClass)
local criterion = nn.ClassNLLCriterion()
local before = model:get(1).weight:clone()
local batch, losses = {}, {}

local function train(feval, x, state)
   local count = trainSet.classes:size(1)
   local order = torch.randperm(count):long()
   for first = 1, count, opt.batchSize do
      local chosen = order:narrow(1, first, math.min(opt.batchSize, count - first + 1))
      batch.images, batch.classes = trainSet.images:index(1, chosen), trainSet.classes:index(1, chosen)
      local _, fs = optim.sgd(feval, x, state)
      table.insert(losses, fs[1])
   end
end

local function test(net, name)
   net:evaluate()
   local _, best = net:forward(testSet.images):max(2)
   local right = best:view(-1):eq(testSet.classes):sum()
   local accuracy = right / testSet.classes:size(1)
   local moved = (net:get(1).weight - before):abs():max()
   print(string.format('%s: test accuracy %.4f, the first layer moved by %.4f', name, accuracy, moved))
   return accuracy
end

-- First only the new layers learn. The others are as in a test, and nothing goes back through them.
local headParameters, headGradParameters = head:getParameters()
local function fHead(x)
   headGradParameters:zero()
   local outputs = model:forward(batch.images)
   local loss = criterion:forward(outputs, batch.classes)
   local features = model:get(model:size() - 1).output
   head:backward(features, criterion:backward(outputs, batch.classes))
   return loss, headGradParameters
end
local headState = {learningRate = opt.learningRate, momentum = opt.momentum}
for epoch = 1, opt.headEpochs do
   model:evaluate()
   head:training()
   train(fHead, headParameters, headState)
   xlua.progress(epoch, opt.headEpochs)
end
local headAccuracy = test(model, 'new layer')

-- Then all learn, each at its own rate. From here on headParameters are no longer those of the net.
local parameters, gradParameters = model:getParameters()
local learningRates = torch.Tensor(parameters:size(1)):fill(opt.baseRate)
for _, parameter in ipairs(head:parameters()) do
   learningRates:narrow(1, parameter:storageOffset(), parameter:nElement()):fill(1)
end
local function fModel(x)
   gradParameters:zero()
   local outputs = model:forward(batch.images)
   local loss = criterion:forward(outputs, batch.classes)
   model:backward(batch.images, criterion:backward(outputs, batch.classes))
   return loss, gradParameters
end
local state = {learningRate = opt.learningRate, momentum = opt.momentum, learningRates = learningRates}
for epoch = 1, opt.epochs do
   model:training()
   -- The means and variances of the base come from many images; a few must not replace them.
   for _, module in ipairs(opt.scratch and {} or model:findModules('nn.SpatialBatchNormalization')) do
      module:evaluate()
   end
   train(fModel, parameters, state)
   xlua.progress(epoch, opt.epochs)
end
local accuracy = test(model, 'all layers')

torch.save(opt.save .. '/model.t7', model:clearState())
local again = torch.load(opt.save .. '/model.t7')
assert(again:get(1).gradInput == nil and test(again, 'reloaded') == accuracy)
