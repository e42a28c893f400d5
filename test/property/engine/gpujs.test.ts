import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  emptyData,
  evaluate,
  formatType,
  GraphBuilder,
  sizeOf,
  standardOperators,
  toReference,
  type Tensor,
  type TypedGraph,
} from '../../../graph/index.js';
import { createEngine, type Engine } from '../../../worker/engine/index.js';
import { operatorsOf, unsupportedNodes } from '../../../worker/engine/gpujs/support.js';
import { ALL_TRIALS } from '../graph/all-trials.js';
import { Draw, type Trial } from '../graph/draw.js';
import { distance } from '../graph/onnxruntime.js';
import { useSwiftShader } from '../../swiftshader.js';
import { withoutWebgl } from '../../webgl.js';
import { allTried, isTried, runsOf } from '../trial-runs.js';

/** Relative. WGSL promises sine and cosine to 2^-11 alone. */
const TOLERANCE = { cpu: 1e-4, wasm: 1e-4, webgpu: 1e-3, webgl: 1e-3 };

/** Operators of which some forms are refused: element types that it cannot hold, operands that it must know, training written out before. */
const PARTLY = new Set([
  'BatchNormalization',
  'BitwiseAnd',
  'BitwiseNot',
  'BitwiseOr',
  'BitwiseXor',
  'Cast',
  'CumSum',
  'IsNaN',
  'Mean',
  'Mod',
  'Range',
  'Trilu',
]);

/** One node as a graph, with what it is fed. */
function graphOf(key: string, trial: Trial): { graph: TypedGraph; feeds: Map<string, Tensor> } {
  const operator = key.slice(key.lastIndexOf('.') + 1);
  const domain = key.slice(0, Math.max(0, key.lastIndexOf('.')));
  const builder = new GraphBuilder(standardOperators);
  const feeds = new Map<string, Tensor>();
  const inputs = trial.inputs.map((tensor, i) => {
    if (!tensor) return '';
    if (trial.known?.includes(i)) return builder.constant(tensor);
    feeds.set(`x${i}`, tensor);
    return builder.input(`x${i}`, tensor);
  });
  const made = builder.add(operator, inputs, trial.attributes, { domain, outputs: trial.outputs ?? 1 });
  return {
    graph: builder.build(
      'trial',
      made.filter((name) => name !== ''),
    ),
    feeds,
  };
}

/** Runs a node on the engine and in float64; throws where they differ. False where the engine says that it lacks it. */
async function compare(
  t: Test,
  engine: Engine,
  kind: keyof typeof TOLERANCE,
  key: string,
  trial: Trial,
): Promise<boolean> {
  const { graph, feeds } = graphOf(key, trial);
  const refused = unsupportedNodes(graph, kind);
  if (refused.length > 0) {
    await t.rejects(engine.compile(graph), { code: 'compile_failed' }, `${key}: ${refused[0]!.reason}`);
    return false;
  }
  const wanted = evaluate(graph, new Map([...feeds].map(([name, tensor]) => [name, toReference(tensor)])));
  const program = await engine.compile(graph);
  const outputs = program.outputs.map(({ dtype, shape }) => emptyData(dtype, sizeOf(shape)));
  await program.run(
    [...feeds.values()].map(({ data }) => data),
    outputs,
  );
  await program.dispose();
  program.outputs.forEach((spec, i) => {
    const reference = wanted.get(spec.name)!;
    const ours = toReference({ ...spec, data: outputs[i]! });
    if (distance(reference, ours) > TOLERANCE[kind]) {
      throw new Error(`${formatType(spec)}: [${ours.data.join()}], in float64 [${reference.data.join()}]`);
    }
  });
  return true;
}

t.setTimeout(300_000);
const DEVICES = [
  { kind: 'cpu', runs: runsOf(12), skip: false },
  { kind: 'wasm', runs: runsOf(12), skip: false },
  { kind: 'webgpu', runs: runsOf(3), skip: useSwiftShader() },
  { kind: 'webgl', runs: runsOf(1), skip: withoutWebgl() },
] as const;

for (const { kind, runs, skip } of DEVICES) {
  void t.test(kind, { skip }, async (t) => {
    const engine = await createEngine('gpujs', { device: kind, threads: 1 });
    t.teardown(() => engine.dispose());
    const lacking = new Set<string>();
    for (const [key, make] of Object.entries(ALL_TRIALS)) {
      if (!isTried(key)) continue;
      await t.test(key, async (t) => {
        const property = fc.asyncProperty(fc.nat(), async (seed) => {
          if (!(await compare(t, engine, kind, key, make(new Draw(seed))))) lacking.add(key);
        });
        await fc.assert(property, { numRuns: runs, includeErrorInReport: true });
      });
    }
    t.comment(`forms without a kernel: ${[...lacking].join(' ')}`);
    if (!allTried) return;
    for (const operator of operatorsOf(kind))
      t.notOk(lacking.has(operator) && !PARTLY.has(operator), operator);
  });
}
