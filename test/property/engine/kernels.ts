import {
  emptyData,
  evaluate,
  GraphBuilder,
  sizeOf,
  standardOperators,
  toReference,
  type Attributes,
  type Tensor,
} from '../../../graph/index.js';
import type { KernelContext, KernelRules } from '../../../worker/engine/gpujs/kernel.js';
import type { Library } from '../../../worker/engine/gpujs/library.js';

/** One node with values for its inputs; `''` stands for an input that is left out. */
export interface Example {
  readonly operator: string;
  readonly inputs: readonly (Tensor | '')[];
  readonly attributes?: Attributes;
  readonly outputs?: number;
}

/** Deterministic floats in [-1, 1), different for each seed. */
export function floats(shape: readonly number[], seed: number): Tensor {
  const data = emptyData('float32', sizeOf(shape)) as Float32Array;
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = (state / 2 ** 32) * 2 - 1;
  }
  return { dtype: 'float32', shape, data };
}

/** Runs a rule's kernels as one pipeline, and the reference; the outputs of both, in order. */
export async function compare(library: Library, rules: KernelRules, example: Example) {
  const builder = new GraphBuilder(standardOperators);
  const names = example.inputs.map((tensor, i) => (tensor === '' ? '' : builder.input(`x${i}`, tensor)));
  const outputs = builder.add(example.operator, names, example.attributes ?? {}, {
    outputs: example.outputs ?? 1,
  });
  const graph = builder.build('one node', outputs);
  const values = new Map(
    example.inputs.flatMap((tensor, i) => (tensor === '' ? [] : [[names[i]!, tensor] as const])),
  );
  let made = 0;
  const context: KernelContext = {
    backend: library.backend,
    typeOf: (value) => graph.types.get(value)!,
    constantOf: () => undefined,
    fresh: (hint) => `${hint}:${made++}`,
  };
  const kernels = rules[example.operator]!(graph.nodes[0]!, context);
  const ours = outputs.map((name) => new Float32Array(sizeOf(graph.types.get(name)!.shape)));
  const inputs = [...values.keys()].filter((name) => kernels.some((kernel) => kernel.inputs.includes(name)));
  const sizes = new Map([
    ...[...values].map(([name, { data }]) => [name, data.length] as const),
    ...kernels.map(({ output, extents }) => [output, sizeOf(extents)] as const),
  ]);
  const chain = await library.compile({ kernels, inputs, constants: new Map(), outputs, sizes });
  await chain.run(
    inputs.map((name) => values.get(name)!.data as Float32Array),
    ours,
  );
  await chain.dispose();
  const wanted = evaluate(graph, new Map([...values].map(([name, tensor]) => [name, toReference(tensor)])));
  return {
    kernels,
    outputs: outputs.map((name, i) => ({ ours: ours[i]!, theirs: wanted.get(name)!.data })),
  };
}

/** The largest |ours - theirs| / (1 + |theirs|); infinite where one is not finite and the other differs. */
export function worst({ ours, theirs }: { ours: Float32Array; theirs: Float64Array }): number {
  let largest = 0;
  theirs.forEach((wanted, i) => {
    const got = ours[i]!;
    if (Object.is(got, wanted) || got === wanted) return;
    const error = Math.abs(got - wanted) / (1 + Math.abs(wanted));
    largest = Number.isNaN(error) ? Infinity : Math.max(largest, error);
  });
  return ours.length === theirs.length ? largest : Infinity;
}
