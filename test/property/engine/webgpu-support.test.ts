import fc from 'fast-check';
import t from 'tap';
import {
  emptyData,
  evaluate,
  GraphBuilder,
  sizeOf,
  standardOperators,
  toReference,
  type Tensor,
} from '../../../graph/index.js';
import type { Engine } from '../../../worker/engine/index.js';
import { OnnxRuntimeEngine } from '../../../worker/engine/onnxruntime/engine.js';
import { unsupportedNodes } from '../../../worker/engine/onnxruntime/support.js';
import { useSwiftShader } from '../../swiftshader.js';
import { ALL_TRIALS } from '../graph/all-trials.js';
import { Draw, type Trial } from '../graph/draw.js';
import { distance } from '../graph/onnxruntime.js';
import { isTried, runsOf } from '../trial-runs.js';

const RUNS = runsOf(3);
const skip = useSwiftShader();

/** Runs one node on WebGPU: it falls back exactly where the table says so, and is right either way. */
async function compare(engine: Engine, key: string, trial: Trial): Promise<void> {
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
  const typed = builder.build(
    'trial',
    made.filter((name) => name !== ''),
  );
  const wanted = evaluate(typed, new Map([...feeds].map(([name, tensor]) => [name, toReference(tensor)])));
  const program = await engine.compile(typed);
  const foretold = unsupportedNodes(typed, 'webgpu').map(({ node }) => node);
  const told = program.fallbacks.map(({ node }) => node);
  if (foretold.join() !== told.join())
    throw new Error(`foretold: ${foretold.join()}; it was: ${told.join()}`);
  const outputs = program.outputs.map(({ dtype, shape }) => emptyData(dtype, sizeOf(shape)));
  await program.run(
    program.inputs.map(({ name }) => feeds.get(name)!.data),
    outputs,
  );
  await program.dispose();
  program.outputs.forEach(({ name, dtype, shape }, i) => {
    const [ours, theirs] = [wanted.get(name)!, toReference({ dtype, shape, data: outputs[i]! })];
    if (distance(ours, theirs) > 1e-3)
      throw new Error(`the reference gives [${ours.data.join()}], WebGPU [${theirs.data.join()}]`);
  });
}

void t.test('operators on WebGPU', { skip }, async (t) => {
  const engine = await OnnxRuntimeEngine.create({ device: 'webgpu', threads: 1 });
  t.teardown(() => engine.dispose());
  for (const [key, make] of Object.entries(ALL_TRIALS)) {
    if (!isTried(key)) continue;
    await t.test(key, async () => {
      const property = fc.asyncProperty(fc.nat(), async (seed) => compare(engine, key, make(new Draw(seed))));
      await fc.assert(property, { numRuns: RUNS, includeErrorInReport: true });
    });
  }
});
