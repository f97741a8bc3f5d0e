-- Trains a net on images of the digits 0 to 4; train.lua takes it from there.
-- Run it where a Torch7 is installed:  th pretrain.lua
require 'torch'
require 'nn'
require 'optim'
require 'xlua'
require 'paths'

local cmd = torch.CmdLine()
cmd:text('Train a net on the digits 0 to 4')
cmd:text('Options')
cmd:option('-data', '../digits/digits.csv', 'the images, one a line')
cmd:option('-save', 'run', 'the folder for the net')
cmd:option('-seed', 1, 'seed of the random numbers')
cmd:option('-epochs', 10, 'how many times each image is shown')
cmd:option('-batchSize', 32, 'images in a batch')
cmd:option('-learningRate', 0.1, 'of sgd')
cmd:option('-momentum', 0.9, 'of sgd')
local opt = cmd:parse(arg)

torch.setdefaulttensortype('torch.DoubleTensor')
torch.setnumthreads(1)
torch.manualSeed(opt.seed)

-- The images of the digits 0 to 4, with classes from 1 to 5.
local function loadDigits(path)
   local images, classes = {}, {}
   for line in io.lines(path) do
      local row = {}
      for number in line:gmatch('%d+') do table.insert(row, tonumber(number)) end
      local class = table.remove(row) + 1
      if class <= 5 then
         table.insert(images, row)
         table.insert(classes, class)
      end
   end
   return torch.Tensor(images):view(-1, 1, 8, 8):div(16), torch.LongTensor(classes)
end

local model = nn.Sequential()
model:add(nn.SpatialConvolution(1, 8, 3, 3, 1, 1, 1, 1))
model:add(nn.SpatialBatchNormalization(8))
model:add(nn.ReLU(true))
model:add(nn.SpatialMaxPooling(2, 2))
model:add(nn.SpatialConvolution(8, 16, 3, 3, 1, 1, 1, 1))
model:add(nn.SpatialBatchNormalization(16))
model:add(nn.ReLU(true))
model:add(nn.View(16 * 4 * 4))
model:add(nn.Linear(16 * 4 * 4, 32))
model:add(nn.ReLU(true))
model:add(nn.Linear(32, 5))
model:add(nn.LogSoftMax())

local images, classes = loadDigits(opt.data)
local criterion = nn.ClassNLLCriterion()
local parameters, gradParameters = model:getParameters()
local optimState = {learningRate = opt.learningRate, momentum = opt.momentum}
local count = images:size(1)
for epoch = 1, opt.epochs do
   local order = torch.randperm(count):long()
   local total = 0
   for first = 1, count, opt.batchSize do
      local size = math.min(opt.batchSize, count - first + 1)
      local chosen = order:narrow(1, first, size)
      local inputs, targets = images:index(1, chosen), classes:index(1, chosen)
      local function feval(x)
         gradParameters:zero()
         local outputs = model:forward(inputs)
         local loss = criterion:forward(outputs, targets)
         model:backward(inputs, criterion:backward(outputs, targets))
         return loss, gradParameters
      end
      local _, fs = optim.sgd(feval, parameters, optimState)
      total = total + fs[1] * size
      xlua.progress(first + size - 1, count)
   end
   print(string.format('epoch %d: loss %.6f', epoch, total / count))
end

paths.mkdir(opt.save)
torch.save(opt.save .. '/base.t7', model:clearState())
