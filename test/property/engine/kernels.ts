import type { GPU } from 'gpu.js';
import { Input } from 'gpu.js';
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
import type { Backend, Kernel, KernelContext, KernelRules } from '../../../worker/engine/gpujs/kernel.js';

/** The backends that every machine has, and gpu.js's names for them. */
export const BACKENDS = { wasm: 'webasm', javascript: 'cpu' } as const;

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

/** Runs a rule's kernels one after the other, and the reference; the outputs of both, in order. */
export function compare(gpu: GPU, rules: KernelRules, example: Example, backend: Backend) {
  const builder = new GraphBuilder(standardOperators);
  const names = example.inputs.map((tensor, i) => (tensor === '' ? '' : builder.input(`x${i}`, tensor)));
  const outputs = builder.add(example.operator, names, example.attributes ?? {}, {
    outputs: example.outputs ?? 1,
  });
  const graph = builder.build('one node', outputs);
  const node = graph.nodes[0]!;
  const values = new Map(
    example.inputs.flatMap((tensor, i) => (tensor === '' ? [] : [[names[i]!, tensor] as const])),
  );
  let made = 0;
  const context: KernelContext = {
    backend,
    typeOf: (value) => graph.types.get(value)!,
    constantOf: () => undefined,
    fresh: (hint) => `${hint}:${made++}`,
  };
  const kernels = rules[example.operator]!(node, context);
  const flat = new Map([...values].map(([name, { data }]) => [name, data as Float32Array]));
  for (const kernel of kernels) flat.set(kernel.output, launch(gpu, kernel, flat));
  const wanted = evaluate(graph, new Map([...values].map(([name, tensor]) => [name, toReference(tensor)])));
  return {
    kernels,
    outputs: outputs.map((name) => ({ ours: flat.get(name)!, theirs: wanted.get(name)!.data })),
  };
}

interface Launch {
  (...values: readonly Input[]): unknown;
  destroy(): void;
}

function launch(gpu: GPU, kernel: Kernel, flat: ReadonlyMap<string, Float32Array>): Float32Array {
  const create = gpu.createKernel.bind(gpu) as unknown as (source: string, settings: object) => Launch;
  const run = create(kernel.source, {
    output: [...kernel.extents],
    constants: { ...kernel.constants },
    loopMaxIterations: 2 ** 30,
  });
  const given = kernel.inputs.map((name) => {
    const value = flat.get(name)!;
    return new Input(value as unknown as number[], [value.length, 1, 1]);
  });
  const result = run(...given);
  const cells = new Float32Array(sizeOf(kernel.extents));
  let at = 0;
  const copy = (part: unknown): void => {
    if (part instanceof Float32Array) {
      cells.set(part, at);
      at += part.length;
    } else for (const inner of part as readonly unknown[]) copy(inner);
  };
  copy(result);
  run.destroy();
  return cells;
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
