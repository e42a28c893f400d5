"""The training step of a benchmark model in PyTorch; bench/step-profile.ts --torch and bench/gpu start it.

usage: torch-step.py gpt-small|gpt-100m|mlp-wide|resnet20 BATCH RUNS [DEVICE]
DEVICE is cpu (the default: one thread) or cuda. Prints one JSON object: PyTorch's version, and the seconds of each
1024^3 product and of each step (forward, backward; no optimizer), taken in turn, in float32 without TF32.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

WARM_UP = 3


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        split = lambda t: t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = (split(t) for t in self.qkv(self.n1(x)).chunk(3, dim=-1))
        weights = (q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5 + mask).softmax(-1)
        x = x + self.proj((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.n2(x))))


class Gpt(nn.Module):
    def __init__(self, tokens: int = 65, length: int = 64, width: int = 256, heads: int = 8, layers: int = 4):
        super().__init__()
        self.te, self.pe = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.n, self.head = nn.LayerNorm(width), nn.Linear(width, tokens, bias=False)
        self.register_buffer("mask", torch.full((length, length), float("-inf")).triu(1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.te(ids) + self.pe.weight
        for block in self.blocks:
            x = block(x, self.mask)
        return self.head(self.n(x)).flatten(0, 1)


def conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, outputs, 3, stride), conv(outputs, outputs, 3, 1)
        self.short = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.short(x))


def resnet20() -> nn.Module:
    layers: list[nn.Module] = [conv(3, 16, 3, 1), nn.ReLU()]
    for inputs, outputs in ((16, 16), (16, 32), (32, 64)):
        layers += [Residual(inputs if i == 0 else outputs, outputs, 2 if i == 0 and inputs != outputs else 1) for i in range(3)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mlp_wide() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def seconds(run, wait) -> float:
    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


def main() -> None:
    name, batch, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    device = torch.device(sys.argv[4] if len(sys.argv) > 4 else "cpu")
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if name == "gpt-small":
        model, x, y = Gpt(), torch.randint(65, (batch, 64)), torch.randint(65, (batch * 64,))
    elif name == "gpt-100m":
        model = Gpt(tokens=8192, length=256, width=768, heads=12, layers=12)
        x, y = torch.randint(8192, (batch, 256)), torch.randint(8192, (batch * 256,))
    elif name == "mlp-wide":
        model, x, y = mlp_wide(), torch.rand(batch, 784), torch.randint(10, (batch,))
    elif name == "resnet20":
        model, x, y = resnet20(), torch.rand(batch, 3, 32, 32), torch.randint(10, (batch,))
    else:
        sys.exit(f'no model "{name}"; gpt-small, gpt-100m, mlp-wide and resnet20 would be accepted')
    model, x, y = model.to(device), x.to(device), y.to(device)
    a, b = torch.rand(1024, 1024, device=device), torch.rand(1024, 1024, device=device)

    def step() -> None:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()

    products, steps = [], []
    for _ in range(runs + WARM_UP):
        products.append(seconds(lambda: torch.mm(a, b), wait))
        steps.append(seconds(step, wait))
    parameters = sum(p.numel() for p in model.parameters())
    print(
        json.dumps(
            {
                "version": torch.__version__,
                "parameters": parameters,
                "products": products[WARM_UP:],
                "steps": steps[WARM_UP:],
            }
        )
    )


main()
