-- Writes text with a net that train.lua has trained.
-- Run it where a Torch7 with nngraph is installed:  th sample.lua cv/lm_lstm_epoch12.00_2.0869.t7
require 'torch'
require 'nn'
require 'nngraph'

local cmd = torch.CmdLine()
cmd:text('Write text with a trained net')
cmd:argument('-checkpoint', 'a file that train.lua wrote')
cmd:text('Options')
cmd:option('-seed', 123, 'seed of the random numbers')
cmd:option('-sample', 1, '1 to draw each character, 0 to take the likeliest')
cmd:option('-primetext', 'Shall ', 'what the net reads first, not empty')
cmd:option('-length', 400, 'how many characters it writes')
cmd:option('-temperature', 1, 'below 1 the likely characters become likelier')
local opt = cmd:parse(arg)

torch.setdefaulttensortype('torch.DoubleTensor')
torch.manualSeed(opt.seed)

local checkpoint = torch.load(opt.checkpoint)
local net, vocab = checkpoint.protos.rnn, checkpoint.vocab
net:evaluate()
local characters = {}
for character, number in pairs(vocab) do characters[number] = character end

-- Lets the net read a character: the states behind it, and the log-probabilities of the next one.
local function read(number, states)
   local outputs = net:forward({torch.Tensor({number}), unpack(states)})
   local after = {}
   for i = 1, #outputs - 1 do after[i] = outputs[i]:clone() end
   return after, outputs[#outputs]
end

local states, prediction = {}, nil
for i = 1, 2 * checkpoint.opt.num_layers do states[i] = torch.zeros(1, checkpoint.opt.rnn_size) end
for character in opt.primetext:gmatch('.') do
   states, prediction = read(vocab[character], states)
end
io.write(opt.primetext)

for i = 1, opt.length do
   local number
   if opt.sample == 0 then
      local _, best = prediction:max(2)
      number = best[1][1]
   else
      local probabilities = torch.exp(prediction / opt.temperature):squeeze()
      probabilities:div(probabilities:sum())
      number = torch.multinomial(probabilities:float(), 1)[1]
   end
   io.write(characters[number])
   states, prediction = read(number, states)
end
io.write('\n')
