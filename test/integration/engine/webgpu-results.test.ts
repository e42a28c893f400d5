import t, { type Test } from 'tap';
import {
  attribute,
  emptyData,
  evaluate,
  GraphBuilder,
  int64s,
  scalar,
  sizeOf,
  standardOperators,
  tensorOf,
  toReference,
  type Attributes,
  type Tensor,
} from '../../../graph/index.js';
import { OnnxRuntimeEngine } from '../../../worker/engine/onnxruntime/engine.js';
import { lowerFor } from '../../../worker/engine/onnxruntime/lowering/index.js';
import { useSwiftShader } from '../../swiftshader.js';

const { float, int } = attribute;
const skip = useSwiftShader();

/** A node that onnxruntime 1.30 alone computes wrongly on WebGPU, or dies of. */
interface Example {
  readonly what: string;
  readonly operator: string;
  readonly inputs: readonly Tensor[];
  readonly attributes?: Attributes;
  readonly outputs?: number;
}

const floats = (shape: readonly number[], value: (i: number) => number) =>
  tensorOf(
    'float32',
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => value(i)),
  );
const bools = (shape: readonly number[], value: (i: number) => boolean) =>
  tensorOf(
    'bool',
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => Number(value(i))),
  );
const ones = (length: number) => floats([length], () => 1);

const EXAMPLES: readonly Example[] = [
  {
    what: 'And of conditions, one broadcast along an axis of four',
    operator: 'And',
    inputs: [bools([2, 1], (i) => i === 1), bools([2, 4], (i) => i % 3 === 1)],
  },
  {
    what: 'Or of conditions, one broadcast along the first axis',
    operator: 'Or',
    inputs: [bools([1, 4], (i) => i === 1), bools([4, 3, 1, 4], (i) => i % 5 === 1)],
  },
  { what: 'Asinh of large negatives', operator: 'Asinh', inputs: [floats([3], (i) => -(10 ** (2 + i)))] },
  {
    what: 'BatchNormalization without a spatial axis',
    operator: 'BatchNormalization',
    inputs: [floats([3, 5], (i) => i), ...[0, 1, 2, 3].map((at) => floats([5], (i) => 1 + i + at))],
  },
  {
    what: 'Gemm of nine rows with a scalar addend',
    operator: 'Gemm',
    inputs: [floats([9, 3], Math.sin), floats([3, 7], Math.cos), scalar('float32', 2)],
  },
  {
    what: 'InstanceNormalization with an epsilon of its own',
    operator: 'InstanceNormalization',
    inputs: [floats([2, 3, 5], Math.sin), floats([3], (i) => i + 1), floats([3], (i) => i)],
    attributes: { epsilon: float(0.5) },
  },
  {
    what: 'LayerNormalization of values far from zero',
    operator: 'LayerNormalization',
    inputs: [floats([2, 64], (i) => 4096 + Math.round(4 * Math.sin(i))), ones(64)],
    attributes: { axis: int(-1) },
    outputs: 3,
  },
  {
    what: 'Pow with an exponent for each row of four',
    operator: 'Pow',
    inputs: [floats([3, 4], (i) => 1 + i), floats([3, 1], (i) => i)],
  },
  {
    what: 'Pow with one exponent that has axes',
    operator: 'Pow',
    inputs: [floats([3, 4], (i) => 1 + i), floats([1, 1], () => 0.5)],
  },
  {
    what: 'ReduceLogSumExp beyond what exp holds, and of nothing',
    operator: 'ReduceLogSumExp',
    inputs: [tensorOf('float32', [3, 2], [100, 101, -200, -201, -Infinity, -Infinity]), int64s([1])],
    attributes: { keepdims: int(0) },
  },
];

for (const { what, operator, inputs, attributes = {}, outputs = 1 } of EXAMPLES) {
  const builder = new GraphBuilder(standardOperators);
  const feeds = new Map<string, Tensor>();
  const names = inputs.map((tensor, i) => {
    // axes are known, as in any graph
    if (tensor.dtype === 'int64') return builder.constant(tensor);
    feeds.set(`x${i}`, tensor);
    return builder.input(`x${i}`, tensor);
  });
  const graph = builder.build(what, builder.add(operator, names, attributes, { outputs }));
  const wanted = evaluate(
    graph,
    new Map([...feeds].map(([name, tensor]) => [name, toReference(tensor)] as const)),
  );
  const close = (t: Test, name: string, data: ArrayLike<number>) => {
    wanted.get(name)!.data.forEach((value, i) => {
      const ours = data[i]!;
      const near = ours === value || Math.abs(ours - value) <= 1e-5 * Math.max(1, Math.abs(value));
      t.ok(near, `${name} has ${ours} at ${i}; the reference ${value}`);
    });
  };

  void t.test(`${what}: written out it means the same`, (t) => {
    const lowered = lowerFor('webgpu', graph);
    t.not(lowered.nodes.length, graph.nodes.length);
    const found = evaluate(
      lowered,
      new Map([...feeds].map(([name, tensor]) => [name, toReference(tensor)] as const)),
    );
    graph.outputs.forEach((name, i) => close(t, name, found.get(lowered.outputs[i]!)!.data));
    t.end();
  });

  void t.test(`${what}: right on WebGPU`, { skip }, async (t) => {
    const engine = await OnnxRuntimeEngine.create({ device: 'webgpu', threads: 1, fallback: 'forbid' });
    t.teardown(() => engine.dispose());
    const program = await engine.compile(graph);
    const results = program.outputs.map(({ dtype, shape }) => emptyData(dtype, sizeOf(shape)));
    await program.run(
      program.inputs.map(({ name }) => feeds.get(name)!.data),
      results,
    );
    await program.dispose();
    program.outputs.forEach((spec, i) =>
      close(t, spec.name, toReference({ ...spec, data: results[i]! }).data),
    );
  });
}
