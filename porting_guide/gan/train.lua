-- Trains a generative adversarial pair on 8x8 images of handwritten digits.
-- Run it where a Torch7 is installed:  th train.lua
require 'torch'
require 'nn'
require 'optim'
require 'xlua'
require 'paths'

local cmd = torch.CmdLine()
cmd:text('Train a generator of images of digits against a discriminator')
cmd:text('Options')
cmd:option('-data', '../digits/digits.csv', 'the images, one a line')
cmd:option('-save', 'run', 'the folder for what is written')
cmd:option('-seed', 1, 'seed of the random numbers')
cmd:option('-epochs', 15, 'how many times each image is shown')
cmd:option('-trainSize', 1797, 'how many images are used')
cmd:option('-batchSize', 32, 'images in a batch')
cmd:option('-nz', 16, 'numbers of noise that make an image')
cmd:option('-ngf', 16, 'filters of the generator')
cmd:option('-ndf', 16, 'filters of the discriminator')
cmd:option('-learningRate', 0.002, 'of both optimisers')
cmd:option('-beta1', 0.5, 'of both optimisers')
local opt = cmd:parse(arg)

torch.setdefaulttensortype('torch.DoubleTensor')
torch.setnumthreads(1)
torch.manualSeed(opt.seed)

-- The data: 64 pixels from 0 to 16, then the digit, which is not used. Pixels become -1 to 1, as Tanh gives them.
local function loadImages(path, count)
   local images = {}
   for line in io.lines(path) do
      local row = {}
      for number in line:gmatch('%d+') do table.insert(row, tonumber(number)) end
      table.remove(row)
      table.insert(images, row)
      if #images == count then break end
   end
   return torch.Tensor(images):view(-1, 1, 8, 8):div(8):add(-1)
end

local function weightsInit(module)
   local name = torch.type(module)
   if name:find('Convolution') then
      module.weight:normal(0, 0.05)
      module.bias:zero()
   elseif name:find('BatchNormalization') then
      module.weight:normal(1, 0.05)
      module.bias:zero()
   end
end

-- From noise to an image.
local nz, ngf, ndf = opt.nz, opt.ngf, opt.ndf
local netG = nn.Sequential()
netG:add(nn.View(nz, 1, 1):setNumInputDims(1))
netG:add(nn.SpatialFullConvolution(nz, ngf * 2, 4, 4))
netG:add(nn.SpatialBatchNormalization(ngf * 2)):add(nn.ReLU(true))
-- ngf * 2 planes of 4 x 4
netG:add(nn.SpatialFullConvolution(ngf * 2, ngf, 3, 3, 1, 1, 1, 1))
netG:add(nn.SpatialBatchNormalization(ngf)):add(nn.ReLU(true))
netG:add(nn.SpatialFullConvolution(ngf, 1, 4, 4, 2, 2, 1, 1))
netG:add(nn.Tanh())
netG:apply(weightsInit)

-- From an image to the probability that it comes from the data.
local netD = nn.Sequential()
netD:add(nn.SpatialConvolution(1, ndf, 4, 4, 2, 2, 1, 1))
netD:add(nn.LeakyReLU(0.2, true))
-- ndf planes of 4 x 4
netD:add(nn.SpatialConvolution(ndf, ndf * 2, 3, 3, 1, 1, 1, 1))
netD:add(nn.SpatialBatchNormalization(ndf * 2)):add(nn.LeakyReLU(0.2, true))
netD:add(nn.SpatialConvolution(ndf * 2, 1, 4, 4))
netD:add(nn.Sigmoid())
netD:add(nn.View(1):setNumInputDims(3))
netD:apply(weightsInit)

local data = loadImages(opt.data, opt.trainSize)
local criterion = nn.BCECriterion()
local realLabel, fakeLabel = 1, 0
local optimStateD = {learningRate = opt.learningRate, beta1 = opt.beta1}
local optimStateG = {learningRate = opt.learningRate, beta1 = opt.beta1}
local parametersD, gradParametersD = netD:getParameters()
local parametersG, gradParametersG = netG:getParameters()

local real = torch.Tensor(opt.batchSize, 1, 8, 8)
local noise = torch.Tensor(opt.batchSize, nz)
local label = torch.Tensor(opt.batchSize, 1)
local says = {}

-- The discriminator should say 1 of images from the data and 0 of images from the generator.
local function fDx(x)
   gradParametersD:zero()
   label:fill(realLabel)
   local output = netD:forward(real)
   local errReal = criterion:forward(output, label)
   netD:backward(real, criterion:backward(output, label))
   says.real = output:mean()

   noise:normal(0, 1)
   local fake = netG:forward(noise)
   label:fill(fakeLabel)
   output = netD:forward(fake)
   local errFake = criterion:forward(output, label)
   netD:backward(fake, criterion:backward(output, label))
   says.fake = output:mean()
   return errReal + errFake, gradParametersD
end

-- The generator should make the discriminator say 1. Its gradient comes through the discriminator.
local function fGx(x)
   gradParametersG:zero()
   label:fill(realLabel)
   local fake = netG.output
   local output = netD:forward(fake)
   local err = criterion:forward(output, label)
   local gradFake = netD:updateGradInput(fake, criterion:backward(output, label))
   netG:backward(noise, gradFake)
   return err, gradParametersG
end

paths.mkdir(opt.save)
local losses = io.open(opt.save .. '/losses.csv', 'w')
local timer = torch.Timer()
for epoch = 1, opt.epochs do
   local order = torch.randperm(data:size(1)):long()
   local sumD, sumG, steps = 0, 0, math.floor(data:size(1) / opt.batchSize)
   for step = 1, steps do
      real:index(data, 1, order:narrow(1, (step - 1) * opt.batchSize + 1, opt.batchSize))
      local _, fD = optim.adam(fDx, parametersD, optimStateD)
      local _, fG = optim.adam(fGx, parametersG, optimStateG)
      losses:write(string.format('%d,%.17g,%.17g\n', epoch, fD[1], fG[1]))
      sumD, sumG = sumD + fD[1], sumG + fG[1]
      xlua.progress(step, steps)
   end
   local text = 'epoch %2d: loss D %.4f, loss G %.4f, D says %.2f of real and %.2f of fake images'
   print(text:format(epoch, sumD / steps, sumG / steps, says.real, says.fake))
end
losses:close()
io.stderr:write(string.format('%.1f seconds\n', timer:time().real))

-- How far the generated images are from the data, on average over the pixels.
netG:evaluate()
local images = netG:forward(torch.randn(1000, nz))
local means = (images:mean(1) - data:mean(1)):abs():mean()
local deviations = (images:std(1) - data:std(1)):abs():mean()
print(string.format('difference of the means %.4f, of the deviations %.4f', means, deviations))

torch.save(opt.save .. '/netG.t7', netG:clearState())
torch.save(opt.save .. '/netD.t7', netD:clearState())
