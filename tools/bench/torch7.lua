-- The steps of a workload in Torch7. Arguments: the file with model, criterion, input, target and rate; the file to
-- write the output to. Each line read asks for one thing, and is answered by "done".
require 'nn'

local given = torch.load(arg[1])
local model, criterion, input, target = given.model, given.criterion, given.input, given.target
local x, grads = model:getParameters()
local threads = tonumber(os.getenv('OMP_NUM_THREADS'))
if threads then torch.setnumthreads(threads) end

local actions = {}

function actions.train()
   grads:zero()
   local output = model:forward(input)
   criterion:forward(output, target)
   model:backward(input, criterion:backward(output, target))
   x:add(-given.rate, grads)
end

function actions.infer()
   model:forward(input)
end

function actions.output()
   torch.save(arg[2], model:forward(input))
end

function actions.training()
   model:training()
end

function actions.evaluate()
   model:evaluate()
end

for line in io.lines() do
   actions[line]()
   io.write('done\n')
   io.flush()
end
