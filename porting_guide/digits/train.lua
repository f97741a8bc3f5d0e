-- Trains a small convolutional net on 8x8 images of handwritten digits.
-- Run it where a Torch7 is installed:  th train.lua
require 'torch'
require 'nn'
require 'optim'
require 'xlua'

local opt = {
   seed = 1, epochs = 5, batchSize = 32, trainSize = 1500, save = 'torch7',
   learningRate = 0.05, learningRateDecay = 1e-3, momentum = 0.9, weightDecay = 1e-4,
}
torch.setdefaulttensortype('torch.DoubleTensor')
torch.setnumthreads(1)
torch.manualSeed(opt.seed)

-- The data: 64 pixels from 0 to 16, then the digit. Classes count from 1.
local function loadDigits(path)
   local images, labels = {}, {}
   for line in io.lines(path) do
      local row = {}
      for number in line:gmatch('%d+') do table.insert(row, tonumber(number)) end
      table.insert(labels, table.remove(row) + 1)
      table.insert(images, row)
   end
   return torch.Tensor(images):view(-1, 1, 8, 8):div(16), torch.Tensor(labels)
end

local function createModel()
   local model = nn.Sequential()
   model:add(nn.SpatialConvolution(1, 8, 3, 3, 1, 1, 1, 1))
   model:add(nn.SpatialBatchNormalization(8))
   model:add(nn.ReLU())
   model:add(nn.SpatialMaxPooling(2, 2))
   model:add(nn.SpatialConvolution(8, 16, 3, 3))
   model:add(nn.Tanh())
   model:add(nn.View(16 * 2 * 2))
   model:add(nn.Dropout(0.2))
   model:add(nn.Linear(16 * 2 * 2, 32))
   model:add(nn.BatchNormalization(32))
   model:add(nn.Threshold(0, 0))
   model:add(nn.Linear(32, 10))
   model:add(nn.LogSoftMax())
   return model
end

local data, targets = loadDigits('digits.csv')
local model = createModel()
local criterion = nn.ClassNLLCriterion()
local parameters, gradParameters = model:getParameters()
local confusion = optim.ConfusionMatrix(10)
local optimState = {
   learningRate = opt.learningRate, learningRateDecay = opt.learningRateDecay,
   momentum = opt.momentum, weightDecay = opt.weightDecay,
}

paths.mkdir(opt.save)
torch.save(opt.save .. '/initial.t7', model)
local losses = io.open(opt.save .. '/losses.csv', 'w')
local log = io.open(opt.save .. '/epochs.csv', 'w')

local function train(epoch)
   model:training()
   local order = torch.randperm(opt.trainSize)
   for first = 1, opt.trainSize, opt.batchSize do
      local last = math.min(first + opt.batchSize - 1, opt.trainSize)
      local chosen = order[{{first, last}}]:long()
      local inputs, classes = data:index(1, chosen), targets:index(1, chosen)
      local function feval(x)
         gradParameters:zero()
         local outputs = model:forward(inputs)
         local loss = criterion:forward(outputs, classes)
         model:backward(inputs, criterion:backward(outputs, classes))
         confusion:batchAdd(outputs, classes)
         return loss, gradParameters
      end
      local _, fs = optim.sgd(feval, parameters, optimState)
      losses:write(string.format('%d,%.17g\n', epoch, fs[1]))
      xlua.progress(last, opt.trainSize)
   end
   confusion:updateValids()
   local accuracy = confusion.totalValid
   confusion:zero()
   return accuracy
end

local function test()
   model:evaluate()
   local outputs = model:forward(data[{{opt.trainSize + 1, -1}}])
   confusion:batchAdd(outputs, targets[{{opt.trainSize + 1, -1}}])
   confusion:updateValids()
   local accuracy = confusion.totalValid
   confusion:zero()
   return accuracy, outputs
end

local outputs
for epoch = 1, opt.epochs do
   local trained = train(epoch)
   local tested
   tested, outputs = test()
   print(string.format('epoch %d: training %.4f, test %.4f', epoch, trained, tested))
   log:write(string.format('%d,%.17g,%.17g\n', epoch, trained, tested))
   local checkpoint = {model = model, optimState = optimState, confusion = confusion, opt = opt}
   torch.save(opt.save .. '/checkpoint.t7', checkpoint)
end
losses:close()
log:close()

torch.save(opt.save .. '/outputs.t7', outputs)
torch.save(opt.save .. '/model.t7', model:clearState())
