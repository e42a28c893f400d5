import { InferenceSession, type Tensor } from 'onnxruntime-node';
import t from 'tap';
import { OnnxRuntimeEngine } from '../../../worker/engine/onnxruntime/engine.js';
import { useSwiftShader } from '../../swiftshader.js';
import { inProcessThread } from './in-process.js';
import { Artifacts, distance, numbersIn } from './plans.js';
import { runRanks, trainOnRanks } from './ranks.js';
import { BUCKETS, onDevice, PARAMETER_BYTES, smallPlan, STEPS, UPDATES } from './update-cases.js';

const skip = useSwiftShader();
t.setTimeout(300_000);

/** Bytes that the library was given in the host's memory and gave back there, over all sessions. */
const travelled = { up: 0, down: 0 };
const sessions = InferenceSession as unknown as {
  prototype: { run: (...given: unknown[]) => Promise<Record<string, Tensor>> };
};

function bytesOf(tensors: Record<string, Tensor>): number {
  return Object.values(tensors).reduce(
    // asking for the data of one on the device throws
    (sum, tensor) => (tensor.location === 'cpu' ? sum + (tensor.data as Float32Array).byteLength : sum),
    0,
  );
}

t.test('WebGPU: the optimizer runs on the device', { skip }, async (t) => {
  const { run } = sessions.prototype;
  sessions.prototype.run = async function (this: unknown, ...given) {
    travelled.up += bytesOf(given[0] as Record<string, Tensor>);
    const results = await run.apply(this, given);
    travelled.down += bytesOf(results);
    return results;
  };
  const artifacts = new Artifacts();
  const engine = await OnnxRuntimeEngine.create({ device: 'webgpu', threads: 1, fallback: 'forbid' });
  const thread = inProcessThread(engine);
  t.teardown(async () => {
    await thread.close();
    sessions.prototype.run = run;
    artifacts.remove();
  });
  const hooks = { thread: () => Promise.resolve(thread) };
  for (const [name, change] of Object.entries(UPDATES)) {
    const plan = smallPlan(artifacts, { ...change, checkpointEverySteps: 6 });
    const perStep: { up: number; down: number }[] = [];
    const host = await trainOnRanks(plan, artifacts.paths, hooks);
    const device = await trainOnRanks(onDevice(plan), artifacts.paths, {
      ...hooks,
      report: (_, message) => {
        if (message.kind === 'step') perStep.push({ ...travelled });
      },
    });
    t.equal(device.steps.length, STEPS);
    const worst = Math.max(...device.steps.map(({ loss }, i) => Math.abs(loss - host.steps[i]!.loss)));
    t.ok(worst < 1e-5, `${name}: losses within ${worst.toExponential(1)}`);
    const off = distance(numbersIn(device.weights), numbersIn(host.weights));
    t.ok(off < 1e-5, `${name}: weights within ${off.toExponential(1)}`);
    const [before, after] = [perStep[2]!, perStep[3]!];
    t.equal(after.down - before.down, 4 + 4 * BUCKETS, `${name}: the loss and a number a bucket come down`);
    t.ok(after.up - before.up < PARAMETER_BYTES, `${name}: no parameters go up`);
    t.equal(engine.memory!.count, 0, `${name}: nothing is left on the device`);
  }
  const diverging = smallPlan(artifacts, { optimizer: { kind: 'sgd', lr: 1e20 }, totalSteps: 4 });
  const { ranks } = await runRanks(onDevice(diverging), artifacts.paths, hooks);
  t.match((ranks[0] as PromiseRejectedResult).reason, { code: 'diverged' });
  t.equal(engine.memory!.count, 0, 'nothing is left after a failure');
});
