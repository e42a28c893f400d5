"""
Exports a module from PyTorch for training with dtrain, and what PyTorch itself computes for it, so that the two can be
compared:

    pip install torch onnx onnxscript         # or, for the older exporter alone: apt-get install python3-torch
    python pytorch_model.py FOLDER [--exporter new|old]
    dtrain gradcheck FOLDER
"""

import argparse
import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from case import write_case

OPTIMIZER = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}


class Classifier(nn.Module):
    """Convolution, batch normalization, attention over the pixels, dropout: each exported in its own way."""

    def __init__(self, width=8, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.attention = nn.MultiheadAttention(width, 2, dropout=0.1, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        x = F.hardswish(self.norm(self.stem(images))).flatten(2).transpose(1, 2)
        x = self.norm2(x + self.attention(x, x, x, need_weights=False)[0])
        return self.head(self.drop(x.mean(1)))


def export_new(module, example, path):
    """torch.export; PyTorch 2.9 or newer."""
    torch.onnx.export(
        module.train(),
        (example,),
        path,
        dynamo=True,
        optimize=False,  # the optimizer folds batch normalization away and merges parameters that are equal
        opset_version=20,
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
    )


def export_old(module, example, path):
    """torch.jit; any PyTorch."""
    newer = {"dynamo": False} if torch.__version__ >= "2" else {}
    torch.onnx.export(
        module.train(),
        (example,),
        path,
        opset_version=17,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
        **newer,
    )


def reference(module, example, target, folder, steps=3):
    """Trains a copy for some steps on one batch, without dropout: gradcheck compares without chance."""
    module = copy.deepcopy(module).train()
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
    parameters = dict(module.named_parameters())
    optimizer = torch.optim.SGD(parameters.values(), lr=OPTIMIZER["lr"], momentum=OPTIMIZER["momentum"])
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        output = module(example)
        loss = F.cross_entropy(output, target)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            first = output.detach().numpy().copy()
            gradients = {name: value.grad.numpy().copy() for name, value in parameters.items()}
        optimizer.step()
    write_case(
        folder,
        loss="cross_entropy",
        inputs={"input": example.numpy()},
        target=target.numpy(),
        output=first,
        losses=losses,
        gradients=gradients,
        after={name: value.detach().numpy() for name, value in parameters.items()},
        optimizer=OPTIMIZER,
        made_by=f"PyTorch {torch.__version__}",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exporter", choices=["new", "old"], default="new")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    module, example, target = Classifier(), torch.randn(4, 3, 8, 8), torch.tensor([0, 2, 1, 2])
    reference(module, example, target, arguments.folder)
    export = export_new if arguments.exporter == "new" else export_old
    export(module, example, str(arguments.folder / "model.onnx"))
