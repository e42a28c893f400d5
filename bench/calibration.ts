/**
 * What a profile run is worth: seconds of a whole training step as a device's rates foretell them, as they do calibrated
 * by a profile run of the model, and as measured afterwards, at the profiled number of samples and at others.
 *
 * usage: node dist/bench/calibration.js [--threads 1] [--seconds 10] [MODEL.onnx:BATCH ...]
 *        (default: gpt-small, resnet20 and mlp-wide, where they lie beside the repository)
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { layerProfile } from '../coordinator/prepare/layers.js';
import { buildTrainingGraph, loadModel } from '../graph/index.js';
import {
  calibrate,
  rangesToTime,
  type Device,
  type ModelTiming,
  type UnitRange,
} from '../scheduler/index.js';
import { CalibratedEfforts } from '../scheduler/planner/calibrate.js';
import { ratesOf, secondsFor } from '../scheduler/planner/cost.js';
import { repositoryRoot } from '../test/root.js';
import { ComputeThread } from '../worker/engine/index.js';
import { profileModel } from '../worker/profile/index.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '10' },
    parts: { type: 'string', default: '16' },
    samples: { type: 'string' },
  },
});
const DEFAULTS = ['gpt-small:16', 'resnet20:64', 'mlp-wide:128'];

const fixtures = join(repositoryRoot, '..', 'shared', 'fixtures', 'bench');
const wanted =
  positionals.length > 0 ? positionals : DEFAULTS.map((name) => join(fixtures, name.replace(':', '.onnx:')));
const thread = await ComputeThread.start({ engine: 'onnxruntime', threads: Number(options.threads) });
const now = () => performance.now() / 1000;
const ms = (seconds: number) => `${(seconds * 1e3).toFixed(1)} ms`;

for (const text of wanted) {
  const [path, batch] = [text.slice(0, text.lastIndexOf(':')), Number(text.slice(text.lastIndexOf(':') + 1))];
  if (!existsSync(path)) continue;
  const device: Device = {
    id: 'here',
    host: 'here',
    kind: 'cpu',
    memoryBytes: 2 ** 40,
    ...(await thread.measureRates()),
  };
  const { graph } = await loadModel(path);
  const typed = buildTrainingGraph(graph, { batch, loss: 'cross_entropy' });
  const shapeOf = (name: string) => typed.graph.types.get(name)!.shape.slice(1);
  const inputs = graph.inputs.map(({ name }) => ({ name, shape: shapeOf(name) }));
  const target = shapeOf(typed.target.name);
  const none = { base: 0, perSample: 0 };
  const layers = layerProfile(
    graph,
    { inputs: new Map(inputs.map(({ name, shape }) => [name, shape])), target },
    'cross_entropy',
    [...graph.parameters.keys()],
    { activationBytes: none, crossingBytes: none },
  );
  const ranges = rangesToTime(layers, Number(options.parts));
  const samples = Number(options.samples ?? Math.max(1, Math.ceil(batch / 4)));
  const task = {
    model: basename(path),
    frozen: [],
    loss: 'cross_entropy' as const,
    lossOutput: null,
    batchNormalization: 'exported' as const,
    inputs,
    target: [...target],
    parts: ranges.map(({ from, to }) => layers.units.slice(from, to).flatMap(({ nodes }) => nodes)),
    samples,
    wholeSamples: batch,
    bucketBytes: 2 ** 22,
    seconds: Number(options.seconds),
  };
  const start = now();
  const profile = await profileModel(thread, graph, task, now);
  const took = now() - start;
  const timing: ModelTiming = {
    samples,
    ranges: profile.parts.map(({ part, ...seconds }) => ({ ...ranges[part]!, ...seconds })),
    whole: profile.whole === null ? null : { samples: batch, seconds: profile.whole },
  };
  const calibration = calibrate(layers, device, timing);
  const all: readonly UnitRange[] = [{ from: 0, to: layers.units.length }];
  const each = layers.units.map((_, unit) => ({ from: unit, to: unit + 1 }));
  const efforts = new CalibratedEfforts(layers, each);
  const foretold = (of: Device, at: number, ranges: readonly UnitRange[], keeping: 'fused' | 'kept') => {
    const { constant, perSample } = secondsFor(efforts.of(of).step(ranges, keeping), ratesOf(of));
    return constant + perSample * at;
  };
  console.log(
    `${basename(path, '.onnx')}: profiled in ${took.toFixed(1)} s, ${profile.parts.length} of ${ranges.length} parts at ` +
      `${samples} samples, the whole at ${batch}; factor of the whole ${calibration.fused.toFixed(2)}, of parts ` +
      `${Math.min(...calibration.forward).toFixed(2)} to ${Math.max(...calibration.forward).toFixed(2)} forward`,
  );
  for (const at of [...new Set([batch, Math.ceil(batch / 2), Math.ceil(batch / 4)])]) {
    const again = await profileModel(thread, graph, { ...task, wholeSamples: at, seconds: 0.001 }, now);
    const measured = again.whole!;
    const [before, after] = [device, { ...device, calibration }].map((of) => foretold(of, at, all, 'fused'));
    const off = (predicted: number) => `${((predicted / measured - 1) * 100).toFixed(0)} %`;
    console.log(
      `  whole step of ${at}: measured ${ms(measured)}, by rates ${ms(before!)} (${off(before!)}), calibrated ${ms(after!)} (${off(after!)})`,
    );
  }
  const halves = rangesToTime(layers, 2);
  const two = halves.map(({ from, to }) => layers.units.slice(from, to).flatMap(({ nodes }) => nodes));
  for (const at of [...new Set([samples, Math.ceil(batch / 2)])]) {
    const again = await profileModel(
      thread,
      graph,
      { ...task, parts: two, wholeSamples: 0, samples: at },
      now,
    );
    for (const { part, forward, backwardInput, backwardWeight } of again.parts) {
      const measured = forward + backwardInput + backwardWeight;
      const [before, after] = [device, { ...device, calibration }].map((of) =>
        foretold(of, at, [halves[part]!], 'kept'),
      );
      const off = (predicted: number) => `${((predicted / measured - 1) * 100).toFixed(0)} %`;
      console.log(
        `  stage ${part} of 2, ${at} samples: measured ${ms(measured)}, by rates ${ms(before!)} (${off(before!)}), calibrated ${ms(after!)} (${off(after!)})`,
      );
    }
  }
}
await thread.close();
