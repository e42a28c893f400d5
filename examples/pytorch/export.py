"""Exports a small convolutional network from PyTorch as lenet.onnx, for job.yaml in this folder.

    pip install torch onnx        # or: apt-get install python3-torch
    python export.py
    dtrain submit job.yaml --follow

Two things matter in an export that is to be trained on: training=TRAINING keeps layers such as dropout and batch
normalization as they are in training, and do_constant_folding=False keeps every parameter as it is in the module.
"""

import torch
from torch import nn


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 10),
    )


if __name__ == "__main__":
    torch.manual_seed(7)
    torch.onnx.export(
        lenet(),
        torch.zeros(2, 1, 28, 28),
        "lenet.onnx",
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
    )
    print("wrote lenet.onnx")
