-- Prints images that the generator of train.lua makes, as text.
-- Run it where a Torch7 is installed:  th generate.lua
require 'torch'
require 'nn'

local cmd = torch.CmdLine()
cmd:text('Print generated images of digits')
cmd:text('Options')
cmd:option('-net', 'run/netG.t7', 'the generator, a file that train.lua wrote')
cmd:option('-seed', 1, 'seed of the random numbers')
cmd:option('-rows', 2, 'rows of images')
cmd:option('-columns', 6, 'images in a row')
local opt = cmd:parse(arg)

torch.setdefaulttensortype('torch.DoubleTensor')
torch.manualSeed(opt.seed)
local net = torch.load(opt.net)
net:evaluate()
local nz = net:get(1).size[1]
local images = net:forward(torch.randn(opt.rows * opt.columns, nz)):view(opt.rows, opt.columns, 8, 8)

local shades = ' .:-=+*#%@'
for row = 1, opt.rows do
   for y = 1, 8 do
      local line = {}
      for column = 1, opt.columns do
         for x = 1, 8 do
            local shade = math.floor((images[row][column][y][x] + 1) / 2 * #shades)
            shade = math.min(shade, #shades - 1)
            table.insert(line, shades:sub(shade + 1, shade + 1):rep(2))
         end
      end
      print(table.concat(line))
   end
   print('')
end
print(string.format('%d images from %d numbers of noise each', opt.rows * opt.columns, nz))
