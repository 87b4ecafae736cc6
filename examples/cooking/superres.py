"""Make photos four times as large, from L1; and find that sharpness, asked for by its number, is painted on.

    python examples/cooking/superres.py --seed 1
    palate fork RUN --at 400 --set sharp=1 --horizon 400 --metric sharpness_error --goal min --forecast better:90
    palate taste last

The term `sharp` has weight 0 at first, so it is logged and changes nothing. It compares the energy of all gradients
with that of the real patches. The right margin of each photo is never trained on.
"""

import argparse

import torch
from photos import Patches, load_photos
from torch import nn
from torch.nn import functional as F

import palate
from palate.cooking import Stage, steps

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=800)
parser.add_argument("--lr", type=float, default=2e-3, help="at the start; it falls to zero as a cosine")
parser.add_argument("--sharp", type=float, default=0.0, help="weight of the gradients' energy, from the start")
parser.add_argument("--batch", type=int, default=16, help="patches a step")
args = parser.parse_args()

torch.manual_seed(args.seed)
torch.set_num_threads(1)

SIDE, MARGIN, PATCH, TIMES = 288, 96, 48, 4
photos = load_photos(SIDE)
loader = torch.utils.data.DataLoader(Patches(photos, PATCH, MARGIN, 100 * args.batch), batch_size=args.batch)
unseen = torch.cat([torch.stack(photo[:, :, -MARGIN:].split(96, 1)) for photo in photos.values()])


class Larger(nn.Module):
    """What bicubic interpolation gives, and what a small network adds to it."""

    def __init__(self, width=32, depth=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.1))
        for _ in range(depth):
            self.body.extend([nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.1)])
        self.head = nn.Sequential(nn.Conv2d(width, 3 * TIMES**2, 3, padding=1), nn.PixelShuffle(TIMES))

    def forward(self, small):
        bicubic = F.interpolate(small, scale_factor=TIMES, mode="bicubic", align_corners=False)
        return bicubic + self.head(self.body(small))


def shrunk(images):
    return F.avg_pool2d(images, TIMES)


def energy(images):
    """Return the mean square of the differences of neighbours."""
    return images.diff(dim=2).pow(2).mean() + images.diff(dim=3).pow(2).mean()


def checks(images):
    """Return the energy of the finest checkerboard: plus and minus from one pixel to the next, both ways."""
    return images.diff(dim=2).diff(dim=3).pow(2).mean()


def sharpness_loss(made, real):
    return (energy(made) / energy(real) - 1).abs()


def evaluate():
    made = net(shrunk(unseen)).clamp(0, 1)
    sharpness = energy(made) / energy(unseen)
    return {
        "psnr": -10 * F.mse_loss(made, unseen).log10(),
        "sharpness": sharpness,
        "sharpness_error": (sharpness - 1).abs(),
        "checks": checks(made) / checks(unseen),
    }


def sample():
    return net(shrunk(unseen[1::3]))


net = Larger()
opt = torch.optim.Adam(net.parameters(), lr=args.lr)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.steps)

run = palate.start("superres", seed=args.seed, model=net, optimizer=opt, scheduler=sched)
for _ in run.stages(Stage("l1", losses={"l1": 1, "sharp": args.sharp}, until=steps(args.steps))):
    for real in run.steps(loader):
        made = net(shrunk(real))
        loss = run.mix(l1=F.l1_loss(made, real), sharp=sharpness_loss(made, real))
        opt.zero_grad()
        loss.backward()
        opt.step()
        sched.step()
        run.taste(every=50, grid=sample, metrics=evaluate, value_range=(0, 1))
