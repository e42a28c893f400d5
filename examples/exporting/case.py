"""Writes what `dtrain gradcheck` reads: case.json and case.safetensors beside an exported model.onnx. Needs NumPy only."""

import json
import struct
from pathlib import Path

import numpy as np

DTYPES = {"float32": "F32", "int64": "I64", "int32": "I32", "bool": "BOOL"}


def write_safetensors(path, tensors):
    """The file format of https://github.com/huggingface/safetensors: a JSON header, then the bytes."""
    header, chunks, offset = {}, [], 0
    for name, value in tensors.items():
        array = np.asarray(value)
        chunk = array.tobytes()
        header[name] = {
            "dtype": DTYPES[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(chunk)],
        }
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def write_case(folder, *, loss, inputs, target, output, losses, gradients, after, optimizer, made_by):
    """
    loss       a loss of the job file
    inputs     {name in the model: array}
    losses     the loss before each step of the optimizer, on the same batch
    gradients  {parameter in the model: array} before the first step; leave out those that are zero but for rounding
    after      {parameter in the model: array} after all steps
    """
    tensors = {**inputs, "target": target, "output": output, "loss": np.float32(losses[0])}
    tensors.update({f"grad.{name}": value for name, value in gradients.items()})
    tensors.update({f"after.{name}": after[name] for name in gradients})
    write_safetensors(Path(folder) / "case.safetensors", tensors)
    case = {
        "name": Path(folder).resolve().name,
        "loss": loss,
        "inputs": list(inputs),
        "target": "target",
        "parameters": list(gradients),
        "optimizer": optimizer,
        "lossAtStep": losses,
        "madeBy": made_by,
    }
    (Path(folder) / "case.json").write_text(json.dumps(case, indent=1) + "\n")
