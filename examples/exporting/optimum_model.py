"""
Exports a transformer of Hugging Face with Optimum for training with dtrain, and what PyTorch computes for it. The model
here is a tiny one with random weights; `from_pretrained("...")` gives a real one.

    pip install torch onnx transformers optimum-onnx
    python optimum_model.py FOLDER
    dtrain gradcheck FOLDER
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from optimum.exporters.onnx import onnx_export_from_model
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from case import write_case

OPTIMIZER = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}


def classifier():
    config = DistilBertConfig(
        vocab_size=40, max_position_embeddings=16, dim=16, n_layers=2, n_heads=2, hidden_dim=32, num_labels=3
    )
    return DistilBertForSequenceClassification(config)


def reference(model, inputs, target, folder, steps=3):
    """Trains for some steps on one batch, without dropout (Optimum exports none)."""
    model.eval()
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(parameters.values(), lr=OPTIMIZER["lr"], momentum=OPTIMIZER["momentum"])
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        logits = model(**inputs).logits
        loss = F.cross_entropy(logits, target)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            first = logits.detach().numpy().copy()
            # softmax does not see the bias of the keys: its gradient is zero but for rounding
            gradients = {
                name: value.grad.numpy().copy()
                for name, value in parameters.items()
                if not name.endswith("k_lin.bias")
            }
        optimizer.step()
    write_case(
        folder,
        loss="cross_entropy",
        inputs={name: value.numpy() for name, value in inputs.items()},
        target=target.numpy(),
        output=first,
        losses=losses,
        gradients=gradients,
        after={name: value.detach().numpy() for name, value in parameters.items()},
        optimizer=OPTIMIZER,
        made_by=f"PyTorch {torch.__version__}, Optimum",
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    model = classifier()
    onnx_export_from_model(
        model,
        folder,
        task="text-classification",
        do_constant_folding=False,  # folding turns weights round and takes their names away
        do_validation=False,
    )
    inputs = {
        "input_ids": torch.randint(0, 40, (2, 6)),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
    }
    reference(model, inputs, torch.tensor([0, 2]), folder)
