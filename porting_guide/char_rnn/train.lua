-- Trains an LSTM to foretell the next character of a text.
-- Run it where a Torch7 with nngraph is installed:  th train.lua
require 'torch'
require 'nn'
require 'nngraph'
require 'optim'
require 'xlua'
require 'paths'

local cmd = torch.CmdLine()
cmd:text('Train an LSTM on the characters of a text')
cmd:text('Options')
cmd:option('-input', 'sonnets.txt', 'the text')
cmd:option('-rnn_size', 64, 'size of the states')
cmd:option('-num_layers', 1, 'LSTMs one above the other')
cmd:option('-dropout', 0, 'for the input of every layer but the first, and of the decoder')
cmd:option('-learning_rate', 0.01, 'of rmsprop')
cmd:option('-learning_rate_decay', 0.9, 'the factor to it after every epoch')
cmd:option('-learning_rate_decay_after', 6, 'the epoch from which on it falls')
cmd:option('-decay_rate', 0.95, 'of the mean squares in rmsprop')
cmd:option('-seq_length', 25, 'steps of time to go back through')
cmd:option('-batch_size', 10, 'sequences at a time')
cmd:option('-max_epochs', 12, 'how many times the text is read')
cmd:option('-grad_clip', 5, 'no gradient is larger')
cmd:option('-train_frac', 0.95, 'the part of the text to learn from')
cmd:option('-seed', 123, 'seed of the random numbers')
cmd:option('-save_every', 6, 'epochs between checkpoints')
cmd:option('-checkpoint_dir', 'cv', 'the folder for checkpoints')
cmd:option('-savefile', 'lstm', 'goes into their names')
local opt = cmd:parse(arg)

torch.setdefaulttensortype('torch.DoubleTensor')
torch.setnumthreads(1)
torch.manualSeed(opt.seed)

-- The text as numbers, and the number of each character, from 1 in the order of their codes.
local function loadText(path)
   local file = io.open(path)
   local text = file:read('*all')
   file:close()
   local vocab, characters = {}, {}
   for character in text:gmatch('.') do
      if not vocab[character] then
         vocab[character] = true
         table.insert(characters, character)
      end
   end
   table.sort(characters)
   for number, character in ipairs(characters) do vocab[character] = number end
   local data = torch.Tensor(#text)
   for i = 1, #text do data[i] = vocab[text:sub(i, i)] end
   return data, vocab, #characters
end

-- Lists of batches, batch_size x seq_length: x the characters, y those that follow. Row r of a batch goes on in row r
-- of the next.
local function cutIntoBatches(data)
   local size = opt.batch_size * opt.seq_length
   data = data:sub(1, math.floor(data:size(1) / size) * size)
   local following = data:clone()
   following:sub(1, -2):copy(data:sub(2, -1))
   following[-1] = data[1]
   local x = data:view(opt.batch_size, -1):split(opt.seq_length, 2)
   local y = following:view(opt.batch_size, -1):split(opt.seq_length, 2)
   return x, y
end

-- One step of time: from {x, c1, h1, c2, h2, ...} to {c1, h1, c2, h2, ..., log-probabilities}.
local function lstm(vocabSize, rnnSize, layers, dropout)
   local inputs, outputs = {nn.Identity()()}, {}
   for i = 1, 2 * layers do table.insert(inputs, nn.Identity()()) end
   local x = nn.LookupTable(vocabSize, rnnSize)(inputs[1])
   for layer = 1, layers do
      local prevC, prevH = inputs[2 * layer], inputs[2 * layer + 1]
      if dropout > 0 and layer > 1 then x = nn.Dropout(dropout)(x) end
      local i2h = nn.Linear(rnnSize, 4 * rnnSize)(x):annotate{name = 'i2h_' .. layer}
      local h2h = nn.Linear(rnnSize, 4 * rnnSize)(prevH):annotate{name = 'h2h_' .. layer}
      local sums = nn.Reshape(4, rnnSize)(nn.CAddTable()({i2h, h2h}))
      local n1, n2, n3, n4 = nn.SplitTable(2)(sums):split(4)
      local inGate, forgetGate, outGate = nn.Sigmoid()(n1), nn.Sigmoid()(n2), nn.Sigmoid()(n3)
      local candidate = nn.Tanh()(n4)
      local kept = nn.CMulTable()({forgetGate, prevC})
      local nextC = nn.CAddTable()({kept, nn.CMulTable()({inGate, candidate})})
      local nextH = nn.CMulTable()({outGate, nn.Tanh()(nextC)})
      table.insert(outputs, nextC)
      table.insert(outputs, nextH)
      x = nextH
   end
   if dropout > 0 then x = nn.Dropout(dropout)(x) end
   local decoded = nn.Linear(rnnSize, vocabSize)(x):annotate{name = 'decoder'}
   table.insert(outputs, nn.LogSoftMax()(decoded))
   return nn.gModule(inputs, outputs)
end

local data, vocab, vocabSize = loadText(opt.input)
local trainSize = math.floor(data:size(1) * opt.train_frac)
local trainX, trainY = cutIntoBatches(data:sub(1, trainSize))
local testX, testY = cutIntoBatches(data:sub(trainSize + 1, -1))
print(string.format('%d characters, %d of them different', data:size(1), vocabSize))
print(string.format('%d batches to learn from, %d for the test', #trainX, #testX))

local protos = {}
protos.rnn = lstm(vocabSize, opt.rnn_size, opt.num_layers, opt.dropout)
protos.criterion = nn.ClassNLLCriterion()
-- First the flat parameters, then the clones: these share the memory in which the parameters lie now.
local parameters, gradParameters = protos.rnn:getParameters()
parameters:uniform(-0.08, 0.08)
for _, node in ipairs(protos.rnn.forwardnodes) do
   if (node.data.annotations.name or ''):find('^i2h') then
      node.data.module.bias[{{opt.rnn_size + 1, 2 * opt.rnn_size}}]:fill(1)
   end
end
local rnns, criterions = {}, {}
for t = 1, opt.seq_length do
   rnns[t] = protos.rnn:clone('weight', 'bias', 'gradWeight', 'gradBias')
   criterions[t] = protos.criterion:clone()
end

-- The states at the beginning of a text, and those with which the next batch goes on.
local function zeros()
   local states = {}
   for i = 1, 2 * opt.num_layers do states[i] = torch.zeros(opt.batch_size, opt.rnn_size) end
   return states
end
local current = {batch = 0, states = zeros()}

-- The steps of time, one after the other. before[t] are the states before step t, before[seq_length + 1] the last.
local function forward(x, y, states)
   local before, predictions, loss = {states}, {}, 0
   for t = 1, opt.seq_length do
      local outputs = rnns[t]:forward({x[{{}, t}], unpack(before[t])})
      before[t + 1] = {unpack(outputs, 1, #outputs - 1)}
      predictions[t] = outputs[#outputs]
      loss = loss + criterions[t]:forward(predictions[t], y[{{}, t}])
   end
   return before, predictions, loss / opt.seq_length
end

local function feval(_)
   gradParameters:zero()
   current.batch = current.batch % #trainX + 1
   local x, y = trainX[current.batch], trainY[current.batch]
   local before, predictions, loss = forward(x, y, current.states)
   local grads = zeros()
   for t = opt.seq_length, 1, -1 do
      table.insert(grads, criterions[t]:backward(predictions[t], y[{{}, t}]))
      local gradInput = rnns[t]:backward({x[{{}, t}], unpack(before[t])}, grads)
      grads = {unpack(gradInput, 2)}
   end
   -- The next pass writes over the outputs of the last clone, which are still the input of the first.
   for i, state in ipairs(before[opt.seq_length + 1]) do current.states[i] = state:clone() end
   gradParameters:clamp(-opt.grad_clip, opt.grad_clip)
   return loss, gradParameters
end

local function test()
   for t = 1, opt.seq_length do rnns[t]:evaluate() end
   local states, total = zeros(), 0
   for i = 1, #testX do
      local before, _, loss = forward(testX[i], testY[i], states)
      for k, state in ipairs(before[opt.seq_length + 1]) do states[k] = state:clone() end
      total = total + loss
   end
   for t = 1, opt.seq_length do rnns[t]:training() end
   return total / #testX
end

paths.mkdir(opt.checkpoint_dir)
local state = {learningRate = opt.learning_rate, alpha = opt.decay_rate}
local trainLosses, valLosses = {}, {}
for epoch = 1, opt.max_epochs do
   local total = 0
   for i = 1, #trainX do
      local _, fs = optim.rmsprop(feval, parameters, state)
      table.insert(trainLosses, fs[1])
      total = total + fs[1]
      xlua.progress(i, #trainX)
   end
   valLosses[epoch] = test()
   print(string.format('epoch %2d: loss %.4f, test %.4f', epoch, total / #trainX, valLosses[epoch]))
   if epoch >= opt.learning_rate_decay_after then state.learningRate = state.learningRate * opt.learning_rate_decay end
   if epoch % opt.save_every == 0 or epoch == opt.max_epochs then
      local checkpoint = {protos = protos, opt = opt, vocab = vocab, epoch = epoch, i = #trainLosses}
      checkpoint.train_losses, checkpoint.val_losses, checkpoint.val_loss = trainLosses, valLosses, valLosses[epoch]
      local name = string.format('lm_%s_epoch%.2f_%.4f.t7', opt.savefile, epoch, valLosses[epoch])
      torch.save(paths.concat(opt.checkpoint_dir, name), checkpoint)
      print('saved ' .. paths.concat(opt.checkpoint_dir, name))
   end
end
print(string.format('lowest loss of the test %.4f', torch.Tensor(valLosses):min()))
