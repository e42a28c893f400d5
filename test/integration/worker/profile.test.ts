import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { layerProfile } from '../../../coordinator/prepare/layers.js';
import { buildTrainingGraph, readModel } from '../../../graph/index.js';
import { decodeModelProfile, encodeProfileTask, type ProfileTask } from '../../../protocol/index.js';
import { calibrate, rangesToTime, type Device } from '../../../scheduler/index.js';
import { CalibratedEfforts } from '../../../scheduler/planner/calibrate.js';
import { ratesOf, secondsFor } from '../../../scheduler/planner/cost.js';
import { sha256 } from '../../../base/index.js';
import { repositoryRoot } from '../../root.js';
import { ComputeThread } from '../../../worker/engine/index.js';
import { profileModel, ProfileRun } from '../../../worker/profile/index.js';

const BATCH = 4;
const none = { base: 0, perSample: 0 };
const now = () => performance.now() / 1000;
const thread = await ComputeThread.start({ engine: 'onnxruntime', threads: 1 });
t.teardown(() => thread.close());

function fixture(name: string, sampleShape: readonly number[], loss: ProfileTask['loss']) {
  const path = join(repositoryRoot, `test/fixtures/models/${name}/model.onnx`);
  const bytes = readFileSync(path);
  const { graph } = readModel(bytes);
  const inputs = graph.inputs.map((input) => ({ name: input.name, shape: [...sampleShape] }));
  const shapes = Object.fromEntries(inputs.map((input) => [input.name, [BATCH, ...sampleShape]]));
  const typed = buildTrainingGraph(graph, { loss, shapes });
  const target = typed.target.type.shape.slice(1);
  const layers = layerProfile(
    graph,
    { inputs: new Map(inputs.map((input) => [input.name, input.shape])), target },
    loss,
    [...graph.parameters.keys()],
    { activationBytes: none, crossingBytes: none },
  );
  const ranges = rangesToTime(layers, 4);
  const task: ProfileTask = {
    model: sha256(bytes),
    frozen: [],
    loss,
    lossOutput: null,
    batchNormalization: 'exported',
    inputs,
    target: [...target],
    parts: ranges.map(({ from, to }) => layers.units.slice(from, to).flatMap(({ nodes }) => nodes)),
    samples: BATCH,
    wholeSamples: BATCH,
    bucketBytes: 2 ** 20,
    seconds: 30,
  };
  return { path, graph, layers, ranges, task };
}

for (const [name, shape] of [
  ['gpt', [16]],
  ['resnet', [3, 16, 16]],
] as const) {
  t.test(`${name}: what was timed foretells the step`, async (t) => {
    const { path, graph, layers, ranges, task } = fixture(name, shape, 'cross_entropy');
    const host = { thread, fetch: () => Promise.resolve(path) };
    const profile = decodeModelProfile(await new ProfileRun(host).run(encodeProfileTask(task)));
    t.equal(profile.parts.length, ranges.length, 'all parts were timed');
    const rates = await thread.measureRates(0.2);
    const device: Device = { id: 'h/cpu:0', host: 'h', kind: 'cpu', memoryBytes: 1e9, ...rates };
    const calibration = calibrate(layers, device, {
      samples: BATCH,
      ranges: profile.parts.map(({ part, ...seconds }) => ({ ...ranges[part]!, ...seconds })),
      whole: { samples: BATCH, seconds: profile.whole! },
    });
    const { forward, backwardInput, backwardWeight, fused } = calibration;
    const factors = [...forward, ...backwardInput, ...backwardWeight, fused];
    t.ok(factors.every((factor) => factor > 0 && Number.isFinite(factor)));
    t.equal(forward.length, layers.units.length);
    const each = layers.units.map((_, unit) => ({ from: unit, to: unit + 1 }));
    const efforts = new CalibratedEfforts(layers, each).of({ ...device, calibration });
    const { constant, perSample } = secondsFor(
      efforts.step([{ from: 0, to: layers.units.length }], 'fused'),
      ratesOf(device),
    );
    const foretold = constant + perSample * BATCH;
    // the best of a few: this machine may have other things to do
    const again: number[] = [];
    for (let i = 0; i < 3; i++) {
      again.push((await profileModel(thread, graph, { ...task, seconds: 1e-6 }, now)).whole!);
    }
    const [least, most] = [Math.min(...again, profile.whole!), Math.max(...again, profile.whole!)];
    t.ok(foretold > least / 1.5 && foretold < most * 1.5, `${foretold} s, measured ${least} to ${most} s`);
  });
}

t.test('nothing is begun after its time, or when somebody stops it', async (t) => {
  const { graph, task } = fixture('gpt', [16], 'cross_entropy');
  const late = await profileModel(thread, graph, { ...task, seconds: 1e-9 }, now);
  t.equal(late.parts.length, 0);
  t.ok(late.whole! > 0, 'the whole step comes first');
  const stopped = await profileModel(thread, graph, { ...task, wholeSamples: 0 }, now, () => true);
  t.strictSame(stopped, { parts: [], whole: null });
});

t.test('a task that is none, or of another model, fails and leaves the thread usable', async (t) => {
  const { path, task } = fixture('gpt', [16], 'cross_entropy');
  const host = { thread, fetch: () => Promise.resolve(path) };
  await t.rejects(new ProfileRun(host).run(Uint8Array.of(1, 2)), { code: 'bad_input' });
  const other = { ...task, wholeSamples: 0, parts: [['nowhere']] };
  await t.rejects(new ProfileRun(host).run(encodeProfileTask(other)), { code: 'bad_stage' });
  const { whole } = decodeModelProfile(
    await new ProfileRun(host).run(encodeProfileTask({ ...task, seconds: 1e-9 })),
  );
  t.ok(whole! > 0);
});
