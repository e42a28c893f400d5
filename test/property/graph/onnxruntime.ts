import * as ort from 'onnxruntime-node';
import {
  bytesPerElement,
  toReference,
  type DataType,
  type Reference,
  type Tensor,
} from '../../../graph/index.js';

ort.env.logLevel = 'fatal';

/** Our element types under onnxruntime's names. */
const NAMES: Partial<Record<DataType, ort.Tensor.Type>> = {
  float32: 'float32',
  float64: 'float64',
  int32: 'int32',
  int64: 'int64',
  uint8: 'uint8',
  bool: 'bool',
};

/** Runs a model once in onnxruntime, without its graph optimizer: another implementation to compare with. */
export async function runModel(
  model: Uint8Array,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Reference>> {
  const session = await ort.InferenceSession.create(model, {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
    logSeverityLevel: 4,
  });
  const given = Object.fromEntries(
    [...feeds].map(([name, { dtype, shape, data }]) => {
      const type = NAMES[dtype];
      if (!type || bytesPerElement(dtype) === 0) throw new Error(`no onnxruntime type for ${dtype}`);
      return [name, new ort.Tensor(type, data as ort.Tensor.DataType, shape)];
    }),
  );
  const results = await session.run(given);
  await session.release();
  return new Map(
    Object.entries(results).map(([name, value]) => {
      const dtype = (Object.keys(NAMES) as DataType[]).find((key) => NAMES[key] === value.type)!;
      return [name, toReference({ dtype, shape: value.dims, data: value.data as Tensor['data'] })];
    }),
  );
}

/** The relative L2 distance (absolute near zero), over the finite elements; infinities and NaNs must be in the same places. */
export function distance(a: Reference, b: Reference): number {
  let [square, norm] = [0, 0];
  for (let i = 0; i < b.data.length; i++) {
    const [x, y] = [a.data[i]!, b.data[i]!];
    if (Number.isFinite(x) && Number.isFinite(y)) {
      square += (x - y) ** 2;
      norm += y ** 2;
    } else if (!Object.is(x, y)) return Infinity;
  }
  return Math.sqrt(square) / (Math.sqrt(norm) + 1e-2);
}
