-- Trains a variational autoencoder on images of handwritten digits, and draws digits with it.
-- Run it where a Torch7 is installed:  th train.lua
require 'torch'
require 'nn'
require 'optim'
require 'xlua'
require 'paths'
require 'layers'

local cmd = torch.CmdLine()
cmd:text('Trains a variational autoencoder on handwritten digits.')
cmd:text('Options')
cmd:option('-data', '../digits/digits.csv', 'images of 8x8 pixels, and the digit, in each line')
cmd:option('-save', 'torch7', 'the folder for what is written')
cmd:option('-seed', 1, 'of the random numbers')
cmd:option('-trainSize', 1500, 'how many of the images are for training')
cmd:option('-epochs', 30, 'how often they are seen')
cmd:option('-batchSize', 50, 'how many images a batch has')
cmd:option('-hidden', 128, 'the size of the hidden layers')
cmd:option('-code', 8, 'the size of the codes')
cmd:option('-learningRate', 3e-3, 'of the steps')
local opt = cmd:parse(arg)
torch.setdefaulttensortype('torch.DoubleTensor')
torch.setnumthreads(1)
torch.manualSeed(opt.seed)

-- The data: 64 pixels from 0 to 16, then the digit, which is not used here.
local function loadImages(path)
   local images = {}
   for line in io.lines(path) do
      local row = {}
      for number in line:gmatch('%d+') do table.insert(row, tonumber(number)) end
      table.remove(row)
      table.insert(images, row)
   end
   return torch.Tensor(images):div(16)
end

-- From an image to the mean and the logarithm of the variance of its code.
local function createEncoder(pixels, hidden, code)
   local encoder = nn.Sequential()
   encoder:add(nn.Linear(pixels, hidden))
   encoder:add(nn.ReLU())
   encoder:add(nn.ConcatTable():add(nn.Linear(hidden, code)):add(nn.Linear(hidden, code)))
   return encoder
end

-- From a code to an image.
local function createDecoder(pixels, hidden, code)
   local decoder = nn.Sequential()
   decoder:add(nn.Linear(code, hidden))
   decoder:add(nn.ReLU())
   decoder:add(nn.Linear(hidden, pixels))
   decoder:add(nn.Sigmoid())
   return decoder
end

local images = loadImages(opt.data)
local encoder = createEncoder(64, opt.hidden, opt.code)
local sampler = nn.Sampler()
local decoder = createDecoder(64, opt.hidden, opt.code)
local model = nn.Sequential():add(encoder):add(sampler):add(decoder)
local bce, kld = nn.BCECriterion(), nn.KLDCriterion()
bce.sizeAverage = false
local parameters, gradParameters = model:getParameters()
local optimState = {learningRate = opt.learningRate}

paths.mkdir(opt.save)
local losses = io.open(opt.save .. '/losses.csv', 'w')

local function train(epoch)
   model:training()
   local order, total = torch.randperm(opt.trainSize):long():split(opt.batchSize), 0
   for batch, chosen in ipairs(order) do
      local inputs = images:index(1, chosen)
      local function feval(x)
         gradParameters:zero()
         local code = encoder:forward(inputs)
         local z = sampler:forward(code)
         local outputs = decoder:forward(z)
         local loss = (bce:forward(outputs, inputs) + kld:forward(code)) / inputs:size(1)
         local dz = decoder:backward(z, bce:backward(outputs, inputs))
         local dcode, dkld = sampler:backward(code, dz), kld:backward(code)
         encoder:backward(inputs, {dcode[1] + dkld[1], dcode[2] + dkld[2]})
         gradParameters:div(inputs:size(1))
         return loss, gradParameters
      end
      local _, fs = optim.adam(feval, parameters, optimState)
      losses:write(string.format('%d,%.17g\n', epoch, fs[1]))
      total = total + fs[1]
      xlua.progress(batch, #order)
   end
   return total / #order
end

-- The loss on the test images, with the means as codes.
local function test(model)
   model:evaluate()
   local inputs = images[{{opt.trainSize + 1, -1}}]
   local outputs = model:forward(inputs)
   return (bce:forward(outputs, inputs) + kld:forward(model:get(1).output)) / inputs:size(1)
end

local shades = ' .:-=+*#%@'

-- Prints images side by side.
local function draw(images)
   for row = 1, 8 do
      local line = ''
      for i = 1, images:size(1) do
         for column = 1, 8 do
            local level = math.floor(images[i][8 * (row - 1) + column] * 9.99) + 1
            line = line .. shades:sub(level, level)
         end
         line = line .. '   '
      end
      print(line)
   end
end

for epoch = 1, opt.epochs do
   local trained, tested = train(epoch), test(model)
   print(string.format('epoch %d: training %.4f, test %.4f', epoch, trained, tested))
end
losses:close()

torch.save(opt.save .. '/model.t7', model:clearState())
local loaded = torch.load(opt.save .. '/model.t7')
print(string.format('out of the file: test %.4f', test(loaded)))

print('test images, and what is left of them after coding and decoding:')
local some = images[{{opt.trainSize + 1, opt.trainSize + 6}}]
draw(some)
draw(loaded:forward(some))
print('images of codes that were drawn at random:')
draw(loaded:get(3):forward(torch.randn(6, opt.code)))
