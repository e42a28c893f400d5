import { BindingError, ShapeError } from '../errors.js';
import type { Graph, Node } from '../ir/graph.js';
import { sizeOf, type TensorType } from '../ir/tensor.js';
import type { Reference } from '../operators/index.js';
import type { BoundInputs } from './inputs.js';

const MEND =
  'Export the model with a dynamic batch: torch.onnx.export(..., dynamic_axes={"input": {0: "batch"}}), or dynamic_shapes with dynamo=True';

/** Says of a shape that does not fit where it may come from: a batch that the exporter wrote into the graph. */
export function explainShape(
  error: ShapeError,
  node: Node,
  types: readonly (TensorType | undefined)[],
  constants: readonly (Reference | undefined)[],
  { samples: batch, exportedBatch }: BoundInputs,
): ShapeError {
  if (batch === undefined) return error;
  const baked = node.operator === 'Reshape' ? bakedBatch(types[0], constants[1], batch) : undefined;
  if (baked !== undefined && baked !== batch) {
    return new ShapeError(
      node,
      `${error.reason}. The file reshapes to a fixed size that fits a batch of ${baked} only, and not the share of ${batch} that was tried. ${MEND}`,
    );
  }
  if (exportedBatch === undefined) return error;
  return new ShapeError(
    node,
    `${error.reason}. The file was exported for a batch of ${exportedBatch} and does not take the share of ${batch} that was tried. ${MEND}`,
  );
}

/** The batch for which a Reshape's constant shape would hold what its input holds for `batch`. */
function bakedBatch(
  input: TensorType | undefined,
  shape: Reference | undefined,
  batch: number,
): number | undefined {
  if (!input || !shape || shape.data.some((dim) => dim <= 0)) return undefined;
  const perSample = sizeOf(input.shape) / batch;
  const baked = sizeOf(Array.from(shape.data)) / perSample;
  return Number.isInteger(baked) && baked > 0 ? baked : undefined;
}

/**
 * Checks that an output which the file declares to have the batch first has it: a batch baked into a
 * reshape may pass every type rule (`[2, -1]`) and still give another number of rows.
 * @throws BindingError
 */
export function checkOutputs(
  graph: Graph,
  inputs: BoundInputs,
  typeOf: (output: string) => TensorType,
): void {
  // where the data gave every shape, what a file calls its axes does not matter: the target tells what fits
  const batch = inputs.batch ?? (inputs.exportedBatch === undefined ? undefined : inputs.samples);
  if (batch === undefined) return;
  for (const output of graph.outputs) {
    const declared = output.shape[0];
    const isBatch =
      typeof declared === 'string'
        ? inputs.symbols.get(declared) === batch
        : declared !== undefined && declared === inputs.exportedBatch;
    const rows = typeOf(output.name).shape[0];
    if (!isBatch || rows === undefined || rows % batch === 0) continue;
    throw new BindingError(
      `for a batch of ${batch} the output "${output.name}" has ${rows} rows: the exporter wrote a batch of ${rows} into the graph. ${MEND}`,
    );
  }
}
