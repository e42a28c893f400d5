import t from 'tap';
import { GraphBuilder, standardOperators } from '../../../../graph/index.js';
import { DeviceLostError, RunError } from '../../../../worker/engine/errors.js';
import { DeviceBudget } from '../../../../worker/engine/onnxruntime/budget.js';
import { DeviceProgram, type DeviceParts } from '../../../../worker/engine/onnxruntime/device-program.js';
import { DeviceValues } from '../../../../worker/engine/onnxruntime/values.js';

/** A program whose session fails, on a device that still answers or does not. */
function failing(answers: boolean): DeviceProgram {
  const g = new GraphBuilder(standardOperators);
  g.input('x', { dtype: 'float32', shape: [1] });
  const graph = g.build('failing', [g.one('Neg', ['x'])]);
  const copier = { answers: () => Promise.resolve(answers) } as unknown as DeviceParts['copier'];
  const session = {
    run: () => Promise.reject(new TypeError('mapping failed')),
  } as unknown as DeviceParts['session'];
  const spec = { dtype: 'float32', shape: [1] } as const;
  return new DeviceProgram({
    graph,
    lowered: graph,
    fallbacks: [],
    session,
    inputs: [{ name: 'x', ...spec }],
    outputs: [{ name: graph.outputs[0]!, ...spec }],
    copier,
    values: new DeviceValues(copier),
    budget: new DeviceBudget({ device: 'webgpu:0' }),
    open: () => Promise.resolve(session),
    onDispose: () => undefined,
  });
}

t.test('an error after which the device answers no more is its loss, and says what came first', async (t) => {
  const run = failing(false).run([new Float32Array(1)], [new Float32Array(1)]);
  await t.rejects(run, DeviceLostError);
  await t.rejects(run, { code: 'device_lost', message: /webgpu:0 is lost: mapping failed/ });
});

t.test('an error after which it does is one of the run', async (t) => {
  const run = failing(true).run([new Float32Array(1)], [new Float32Array(1)]);
  await t.rejects(run, RunError);
  await t.rejects(run, { code: 'run_failed', message: /"failing".*mapping failed/ });
});
