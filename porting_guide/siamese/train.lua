-- Trains a siamese net on pairs of images: two branches with the same parameters give each image a code, and
-- images of the same digit get codes that are close together.
-- Run it where a Torch7 is installed:  th train.lua
require 'torch'
require 'nn'
require 'optim'
require 'xlua'
require 'paths'

local cmd = torch.CmdLine()
cmd:text('Trains a siamese net on pairs of handwritten digits.')
cmd:text('Options')
cmd:option('-data', '../digits/digits.csv', 'images of 8x8 pixels, and the digit, in each line')
cmd:option('-save', 'torch7', 'the folder for what is written')
cmd:option('-seed', 1, 'of the random numbers')
cmd:option('-trainSize', 1500, 'how many of the images are for training')
cmd:option('-epochs', 10, 'how often the codes are tested')
cmd:option('-batches', 100, 'how many batches an epoch has')
cmd:option('-batchSize', 64, 'how many pairs a batch has; half of them of the same digit')
cmd:option('-code', 16, 'the size of the codes')
cmd:option('-loss', 'cosine', 'cosine: of the angle between two codes; hinge: of their distance')
cmd:option('-margin', 0.2, 'below which cosine, or from which distance on, different digits are different enough')
cmd:option('-learningRate', 0.5, 'of the first step')
cmd:option('-learningRateDecay', 1e-3, 'how fast it falls')
cmd:option('-momentum', 0.9, 'of the steps')
local opt = cmd:parse(arg)
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
   return torch.Tensor(images):div(16), torch.Tensor(labels)
end

local function createBranch(code)
   local branch = nn.Sequential()
   branch:add(nn.Linear(64, 64))
   branch:add(nn.ReLU())
   branch:add(nn.Linear(64, code))
   return branch
end

-- The branch twice, side by side; then the distance of the codes, unless the criterion compares them itself.
local function createSiamese(branch, loss)
   local twins = nn.ParallelTable()
   twins:add(branch)
   twins:add(branch:clone('weight', 'bias', 'gradWeight', 'gradBias'))
   local siamese = nn.Sequential():add(twins)
   if loss == 'hinge' then siamese:add(nn.PairwiseDistance(2)) end
   return siamese
end

local images, labels = loadDigits(opt.data)
local branch = createBranch(opt.code)
local siamese = createSiamese(branch, opt.loss)
local hinge = opt.loss == 'hinge'
local criterion = hinge and nn.HingeEmbeddingCriterion(opt.margin) or nn.CosineEmbeddingCriterion(opt.margin)
local parameters, gradParameters = siamese:getParameters()
local optimState = {
   learningRate = opt.learningRate, learningRateDecay = opt.learningRateDecay, momentum = opt.momentum,
}
print(siamese)
print(parameters:size(1) .. ' parameters')

-- The training images of each class.
local members = {}
for class = 1, 10 do members[class] = {} end
for i = 1, opt.trainSize do table.insert(members[labels[i]], i) end

-- Two training images of the same digit, or of different ones.
local function drawPair(same)
   local one = torch.random(10)
   local two = one
   while not same and two == one do two = torch.random(10) end
   local i, j = torch.random(#members[one]), torch.random(#members[two])
   return members[one][i], members[two][j]
end

local function drawBatch()
   local first, second = torch.LongTensor(opt.batchSize), torch.LongTensor(opt.batchSize)
   local targets = torch.Tensor(opt.batchSize)
   for k = 1, opt.batchSize do
      local same = k % 2 == 1
      first[k], second[k] = drawPair(same)
      targets[k] = same and 1 or -1
   end
   return {images:index(1, first), images:index(1, second)}, targets
end

paths.mkdir(opt.save)
local losses = io.open(opt.save .. '/losses.csv', 'w')
local logger = optim.Logger(opt.save .. '/train.log')
logger:setNames({'loss', 'nearest'})

local function trainEpoch()
   local total = 0
   for batch = 1, opt.batches do
      local inputs, targets = drawBatch()
      local function feval(x)
         gradParameters:zero()
         local outputs = siamese:forward(inputs)
         local loss = criterion:forward(outputs, targets)
         siamese:backward(inputs, criterion:backward(outputs, targets))
         return loss, gradParameters
      end
      local _, fs = optim.sgd(feval, parameters, optimState)
      losses:write(string.format('%d,%.17g\n', batch, fs[1]))
      total = total + fs[1]
      xlua.progress(batch, opt.batches)
   end
   return total / opt.batches
end

-- For how many of the test images the nearest training image shows the same digit.
local function test(branch)
   local codes = branch:forward(images):clone()
   if not hinge then codes:cdiv(codes:norm(2, 2):expandAs(codes)) end
   local known, new = codes[{{1, opt.trainSize}}], codes[{{opt.trainSize + 1, -1}}]
   local distances = torch.mm(new, known:t()):mul(-2)
   distances:add(torch.pow(known, 2):sum(2):t():expandAs(distances))
   local _, nearest = torch.min(distances, 2)
   local found = labels:index(1, nearest:view(-1))
   return found:eq(labels[{{opt.trainSize + 1, -1}}]):sum() / new:size(1)
end

for epoch = 1, opt.epochs do
   local loss, accuracy = trainEpoch(), test(branch)
   print(string.format('epoch %d: loss %.4f, nearest neighbour %.4f', epoch, loss, accuracy))
   logger:add({loss, accuracy})
end
losses:close()

-- The file keeps what the branches share.
torch.save(opt.save .. '/model.t7', siamese:clearState())
local loaded = torch.load(opt.save .. '/model.t7')
local one, two = loaded:get(1):get(1), loaded:get(1):get(2)
print(string.format('out of the file: nearest neighbour %.4f', test(one)))
print(string.format('the branches differ by %g', torch.dist(one:forward(images), two:forward(images))))
