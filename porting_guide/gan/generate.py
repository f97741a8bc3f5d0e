# Prints images that the generator of train.py makes, as text.
# The port of generate.lua, line by line. Run it here:  python generate.py
import math, sys
import luann

cmd = luann.CmdLine()
cmd.text("Print generated images of digits")
cmd.text("Options")
cmd.option("-net", "run/netG.t7", "the generator, a file that train.py wrote")
cmd.option("-seed", 1, "seed of the random numbers")
cmd.option("-rows", 2, "rows of images")
cmd.option("-columns", 6, "images in a row")
opt = cmd.parse(sys.argv[1:])

luann.setdefaulttensortype("torch.DoubleTensor")
luann.manualSeed(opt.seed)
net = luann.load(opt.net)
net.evaluate()
nz = net.get(1).size[0]
images = net.forward(luann.random.randn(opt.rows * opt.columns, nz)).view(opt.rows, opt.columns, 8, 8)

shades = " .:-=+*#%@"
for row in range(opt.rows):
    for y in range(8):
        line = []
        for column in range(opt.columns):
            for x in range(8):
                shade = math.floor((images[row, column, y, x] + 1) / 2 * len(shades))
                shade = min(shade, len(shades) - 1)
                line.append(shades[shade] * 2)


        print("".join(line))

    print("")

print("%d images from %d numbers of noise each" % (opt.rows * opt.columns, nz))
