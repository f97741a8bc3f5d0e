-- Trains a word-level language model: a recurrent net, unrolled by hand, on two chapters of a book.
-- Run it where a Torch7 is installed:  th train.lua
require 'torch'
require 'nn'
require 'optim'
require 'xlua'
require 'paths'

local cmd = torch.CmdLine()
cmd:text('Trains a word-level language model.')
cmd:text('Options')
cmd:option('-data', 'alice.txt', 'the text: words and marks between blanks, a sentence on each line')
cmd:option('-save', 'torch7', 'the folder for what is written')
cmd:option('-seed', 1, 'of the random numbers')
cmd:option('-epochs', 15, 'how often the text is read')
cmd:option('-batchSize', 8, 'how many parts of the text are read side by side')
cmd:option('-steps', 10, 'through how many words the gradients go back')
cmd:option('-hidden', 64, 'the size of the state')
cmd:option('-dropout', 0.3, 'the probability that an element of the state is hidden from the decoder')
cmd:option('-learningRate', 2, 'at first; halved when the validation does not improve')
cmd:option('-maxNorm', 1, 'longer gradients are shortened to this')
local opt = cmd:parse(arg)
torch.setdefaulttensortype('torch.DoubleTensor')
torch.setnumthreads(1)
torch.manualSeed(opt.seed)

-- The words of a text, with <eos> after each sentence. A word that occurs only once becomes <unk>.
local function readWords(path)
   local words, count = {}, {}
   for line in io.lines(path) do
      for word in (line .. ' <eos>'):gmatch('%S+') do
         table.insert(words, word)
         count[word] = (count[word] or 0) + 1
      end
   end
   for i, word in ipairs(words) do
      if count[word] == 1 then words[i] = '<unk>' end
   end
   return words
end

-- The different words, numbered from 1 as they come: the number of each, and the list.
local function numberWords(words)
   local number, vocabulary = {}, {}
   for _, word in ipairs(words) do
      if not number[word] then
         table.insert(vocabulary, word)
         number[word] = #vocabulary
      end
   end
   return number, vocabulary
end

-- A vector cut into equal parts: row t holds the t-th element of each.
local function sideBySide(ids, parts)
   local rows = math.floor(ids:size(1) / parts)
   return ids:narrow(1, 1, rows * parts):view(parts, rows):t():contiguous()
end

-- One step of the net: a word and the state before it give the state after it.
local function createStep(words, hidden)
   local step = nn.Sequential()
   step:add(nn.ParallelTable():add(nn.LookupTable(words, hidden)):add(nn.Linear(hidden, hidden)))
   step:add(nn.CAddTable())
   step:add(nn.Tanh())
   return step
end

-- What follows a state: the logarithm of each word's probability.
local function createDecoder(words, hidden, dropout)
   local decoder = nn.Sequential()
   decoder:add(nn.Dropout(dropout))
   decoder:add(nn.Linear(hidden, words))
   decoder:add(nn.LogSoftMax())
   return decoder
end

local words = readWords(opt.data)
local number, vocabulary = numberWords(words)
local ids = torch.LongTensor(#words)
for i, word in ipairs(words) do ids[i] = number[word] end
local split = math.floor(0.9 * #words)
local train = sideBySide(ids[{{1, split}}], opt.batchSize)
local valid = sideBySide(ids[{{split + 1, -1}}], 1)
print(string.format('%d words, %d different ones', #words, #vocabulary))

local step, decoder = createStep(#vocabulary, opt.hidden), createDecoder(#vocabulary, opt.hidden, opt.dropout)
local parameters, gradParameters = nn.Sequential():add(step):add(decoder):getParameters()
parameters:uniform(-0.1, 0.1)

-- The unrolled net: clones with outputs of their own and the same parameters. They train, step and decoder evaluate.
local shared = {'weight', 'bias', 'gradWeight', 'gradBias'}
local steps, decoders, criterions = {}, {}, {}
for t = 1, opt.steps do
   steps[t] = step:clone(unpack(shared))
   decoders[t] = decoder:clone(unpack(shared))
   criterions[t] = nn.ClassNLLCriterion()
end
step:evaluate()
decoder:evaluate()

paths.mkdir(opt.save)
local losses = io.open(opt.save .. '/losses.csv', 'w')
local state = torch.zeros(opt.batchSize, opt.hidden)
local optimState = {learningRate = opt.learningRate}

local function trainEpoch()
   state:zero()
   local total, batches = 0, math.floor((train:size(1) - 1) / opt.steps)
   for batch = 1, batches do
      local first = (batch - 1) * opt.steps + 1
      local function feval(x)
         gradParameters:zero()
         local h, loss = {[0] = state}, 0
         for t = 1, opt.steps do
            h[t] = steps[t]:forward({train[first + t - 1], h[t - 1]})
            local outputs = decoders[t]:forward(h[t])
            loss = loss + criterions[t]:forward(outputs, train[first + t]) / opt.steps
         end
         local dh = torch.zeros(opt.batchSize, opt.hidden)
         for t = opt.steps, 1, -1 do
            local doutputs = criterions[t]:backward(decoders[t].output, train[first + t])
            dh:add(decoders[t]:backward(h[t], doutputs))
            dh = steps[t]:backward({train[first + t - 1], h[t - 1]}, dh)[2]
         end
         state:copy(h[opt.steps])
         gradParameters:div(opt.steps)
         local norm = gradParameters:norm()
         if norm > opt.maxNorm then gradParameters:mul(opt.maxNorm / norm) end
         return loss, gradParameters
      end
      local _, fs = optim.sgd(feval, parameters, optimState)
      losses:write(string.format('%d,%.17g\n', batch, fs[1]))
      total = total + fs[1]
      xlua.progress(batch, batches)
   end
   return math.exp(total / batches)
end

-- The perplexity of the validation text, read word by word with the net of a single step.
local function validate()
   local h, total, criterion = torch.zeros(1, opt.hidden), 0, nn.ClassNLLCriterion()
   for t = 1, valid:size(1) - 1 do
      h:copy(step:forward({valid[t], h}))
      total = total + criterion:forward(decoder:forward(h), valid[t + 1])
   end
   return math.exp(total / (valid:size(1) - 1))
end

local best = math.huge
for epoch = 1, opt.epochs do
   local trained, validated = trainEpoch(), validate()
   print(string.format('epoch %d: perplexity %.2f, of the validation %.2f', epoch, trained, validated))
   if validated > best then optimState.learningRate = optimState.learningRate / 2 end
   best = math.min(best, validated)
end
losses:close()
local model = {step = step:clearState(), decoder = decoder:clearState(), words = vocabulary, opt = opt}
torch.save(opt.save .. '/model.t7', model)

-- The model out of the file begins a sentence, and goes on until it ends or has thirty words.
local loaded = torch.load(opt.save .. '/model.t7')
local h, word, text = torch.zeros(1, opt.hidden), number['<eos>'], {}
repeat
   h:copy(loaded.step:forward({torch.LongTensor({word}), h}))
   word = torch.multinomial(torch.exp(loaded.decoder:forward(h)), 1)[1][1]
   table.insert(text, loaded.words[word])
until loaded.words[word] == '<eos>' or #text == 30
print(table.concat(text, ' '))
