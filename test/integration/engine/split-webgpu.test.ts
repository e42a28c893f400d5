import t from 'tap';
import {
  buildTrainingGraph,
  emptyData,
  evaluate,
  fromReference,
  LOSS_SCALE,
  sizeOf,
  toReference,
  type Reference,
} from '../../../graph/index.js';
import { largeValue } from '../../../graph/passes/index.js';
import { createEngine } from '../../../worker/engine/index.js';
import { loadFixture, relativeError, valuesOf } from '../gradient/fixtures.js';
import { useSwiftShader } from '../../swiftshader.js';

const skip = useSwiftShader();

/** Limits that are below the largest values of each. */
const CASES = { mlp: 32_768, 'text-classifier': 8192 } as const;

for (const engine of ['onnxruntime', 'gpujs'] as const) {
  for (const [name, largestBytes] of Object.entries(CASES)) {
    void t.test(`${name} on ${engine} where a buffer holds ${largestBytes} bytes`, { skip }, async (t) => {
      const fixture = await loadFixture(name);
      const { graph, loss, inputs, tensors } = fixture;
      const shapes = Object.fromEntries(inputs.map((input) => [input, tensors.get(input)!.shape]));
      const targetShape = tensors.get('target')!.shape;
      const training = buildTrainingGraph(graph, { loss, shapes, targetShape });
      t.ok(largeValue(training.graph, largestBytes));
      const values = valuesOf(fixture, training.target.name);
      values.set(LOSS_SCALE, { dtype: 'float32', shape: [], data: Float64Array.of(1) });
      const wanted = evaluate(training.graph, values);
      const device = await createEngine(engine, { device: 'webgpu:0', threads: 1, largestBytes });
      t.teardown(() => device.dispose());
      const program = await device.compile(training.graph);
      const feeds = program.inputs.map((spec) => fromReference(values.get(spec.name)!).data);
      const results = program.outputs.map(({ dtype, shape }) => emptyData(dtype, sizeOf(shape)));
      await program.run(feeds, results);
      program.outputs.forEach((spec, i) => {
        const found: Reference = toReference({ ...spec, data: results[i]! });
        const error = relativeError(found.data, wanted.get(spec.name)!.data);
        t.ok(error < 1e-4, `${spec.name}: ${error}`);
      });
      await program.dispose();
    });
  }
}
