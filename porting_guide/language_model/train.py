# Trains a word-level language model: a recurrent net, unrolled by hand, on two chapters of a book.
# The port of train.lua, line by line. Run it here:  python train.py
import math
import os
import torch
import luann
from luann import nn, optim

cmd = luann.CmdLine()
cmd.text("Trains a word-level language model.")
cmd.text("Options")
cmd.option("-data", "alice.txt", "the text: words and marks between blanks, a sentence on each line")
cmd.option("-save", "run", "the folder for what is written")
cmd.option("-seed", 1, "of the random numbers")
cmd.option("-epochs", 15, "how often the text is read")
cmd.option("-batchSize", 8, "how many parts of the text are read side by side")
cmd.option("-steps", 10, "through how many words the gradients go back")
cmd.option("-hidden", 64, "the size of the state")
cmd.option("-dropout", 0.3, "the probability that an element of the state is hidden from the decoder")
cmd.option("-learningRate", 2, "at first; halved when the validation does not improve")
cmd.option("-maxNorm", 1, "longer gradients are shortened to this")
opt = cmd.parse()
luann.setdefaulttensortype("torch.DoubleTensor")
torch.set_num_threads(1)
luann.manualSeed(opt.seed)

# The words of a text, with <eos> after each sentence. A word that occurs only once becomes <unk>.
def readWords(path):
    words, count = [], {}
    for line in open(path):
        for word in (line + " <eos>").split():
            words.append(word)
            count[word] = count.get(word, 0) + 1


    for i, word in enumerate(words):
        if count[word] == 1: words[i] = "<unk>"

    return words


# The different words, numbered from 1 as they come: the number of each, and the list.
def numberWords(words):
    number, vocabulary = {}, []
    for word in words:
        if word not in number:
            vocabulary.append(word)
            number[word] = len(vocabulary)


    return number, vocabulary


# A vector cut into equal parts: row t holds the t-th element of each.
def sideBySide(ids, parts):
    rows = ids.size(0) // parts
    return ids.narrow(0, 0, rows * parts).view(parts, rows).t().contiguous()


# One step of the net: a word and the state before it give the state after it.
def createStep(words, hidden):
    step = nn.Sequential()
    step.add(nn.ParallelTable().add(nn.LookupTable(words, hidden)).add(nn.Linear(hidden, hidden)))
    step.add(nn.CAddTable())
    step.add(nn.Tanh())
    return step


# What follows a state: the logarithm of each word's probability.
def createDecoder(words, hidden, dropout):
    decoder = nn.Sequential()
    decoder.add(nn.Dropout(dropout))
    decoder.add(nn.Linear(hidden, words))
    decoder.add(nn.LogSoftMax())
    return decoder


words = readWords(opt.data)
number, vocabulary = numberWords(words)
ids = torch.zeros(len(words), dtype=torch.long)
for i, word in enumerate(words): ids[i] = number[word]
split = math.floor(0.9 * len(words))
train = sideBySide(ids[:split], opt.batchSize)
valid = sideBySide(ids[split:], 1)
print("%d words, %d different ones" % (len(words), len(vocabulary)))

step, decoder = createStep(len(vocabulary), opt.hidden), createDecoder(len(vocabulary), opt.hidden, opt.dropout)
parameters, gradParameters = nn.Sequential().add(step).add(decoder).getParameters()
luann.random.uniform(parameters, -0.1, 0.1)

# The unrolled net: clones with outputs of their own and the same parameters. They train, step and decoder evaluate.
shared = ["weight", "bias", "gradWeight", "gradBias"]
steps, decoders, criterions = [], [], []
for _ in range(opt.steps):
    steps.append(step.clone(*shared))
    decoders.append(decoder.clone(*shared))
    criterions.append(nn.ClassNLLCriterion())

step.evaluate()
decoder.evaluate()

os.makedirs(opt.save, exist_ok=True)
losses = open(opt.save + "/losses.csv", "w")
state = torch.zeros(opt.batchSize, opt.hidden)
optimState = luann.Table(learningRate=opt.learningRate)

def trainEpoch():
    state.zero_()
    total, batches = 0, (train.size(0) - 1) // opt.steps
    for batch in range(1, batches + 1):
        first = (batch - 1) * opt.steps
        def feval(x):
            gradParameters.zero_()
            h, loss = [state], 0
            for t in range(opt.steps):
                h.append(steps[t].forward([train[first + t], h[t]]))
                outputs = decoders[t].forward(h[t + 1])
                loss = loss + criterions[t].forward(outputs, train[first + t + 1]) / opt.steps

            dh = torch.zeros(opt.batchSize, opt.hidden)
            for t in reversed(range(opt.steps)):
                doutputs = criterions[t].backward(decoders[t].output, train[first + t + 1])
                dh.add_(decoders[t].backward(h[t + 1], doutputs))
                dh = steps[t].backward([train[first + t], h[t]], dh)[1]

            state.copy_(h[opt.steps])
            gradParameters.div_(opt.steps)
            norm = gradParameters.norm().item()
            if norm > opt.maxNorm: gradParameters.mul_(opt.maxNorm / norm)
            return loss, gradParameters

        _, fs = optim.sgd(feval, parameters, optimState)
        losses.write("%d,%.17g\n" % (batch, fs[0]))
        total = total + fs[0]
        luann.progress(batch, batches)

    return math.exp(total / batches)


# The perplexity of the validation text, read word by word with the net of a single step.
def validate():
    h, total, criterion = torch.zeros(1, opt.hidden), 0, nn.ClassNLLCriterion()
    for t in range(valid.size(0) - 1):
        h.copy_(step.forward([valid[t], h]))
        total = total + criterion.forward(decoder.forward(h), valid[t + 1])

    return math.exp(total / (valid.size(0) - 1))


best = math.inf
for epoch in range(1, opt.epochs + 1):
    trained, validated = trainEpoch(), validate()
    print("epoch %d: perplexity %.2f, of the validation %.2f" % (epoch, trained, validated))
    if validated > best: optimState.learningRate = optimState.learningRate / 2
    best = min(best, validated)

losses.close()
model = luann.Table(step=step.clearState(), decoder=decoder.clearState(), words=vocabulary, opt=opt)
luann.save(opt.save + "/model.t7", model)

# The model out of the file begins a sentence, and goes on until it ends or has thirty words.
loaded = luann.load(opt.save + "/model.t7")
h, word, text = torch.zeros(1, opt.hidden), number["<eos>"], []
while True:
    h.copy_(loaded.step.forward([torch.tensor([word]), h]))
    word = luann.random.multinomial(torch.exp(loaded.decoder.forward(h)), 1)[0, 0].item()
    text.append(loaded.words[word - 1])
    if loaded.words[word - 1] == "<eos>" or len(text) == 30: break
print(" ".join(text))
