/**
 * How long the planner takes, how far its plan may be from the best, and what it chooses: models of several shapes on 8,
 * 64 and 1,024 devices of few kinds or all different.
 *
 * usage: node dist/bench/planner.js [SECONDS [DEVICES...]]   a time limit for each plan, default: none; how many devices
 */
import { cpus } from 'node:os';
import { formatSeconds, Random, keyOf } from '../base/index.js';
import type { Device, Plan } from '../scheduler/index.js';
import { makePlan, type LayerProfile, type Unit } from '../scheduler/planner/index.js';

const MIB = 2 ** 20;

function unitOf(name: string, flops: number, parameterBytes: number, savedBytes: number): Unit {
  const work = { productFlops: flops, movedBytes: 4 * savedBytes, launches: 6 };
  return {
    nodes: [name],
    parameters: [{ name: `${name}.weight`, bytes: parameterBytes, trained: true }],
    forward: work,
    backwardInput: work,
    backwardWeight: work,
    savedBytesPerSample: savedBytes,
    rereadBytesPerSample: 0,
    forwardBytesPerSample: savedBytes,
    backwardBytesPerSample: savedBytes,
  };
}

function chain(units: readonly Unit[], crossing: (cut: number) => number): LayerProfile {
  const cuts = units.slice(1).map((_, i) => {
    const bytes = crossing(i);
    return { activationBytesPerSample: bytes, gradientBytesPerSample: bytes };
  });
  const activations = units.reduce((sum, { savedBytesPerSample }) => sum + savedBytesPerSample, 0);
  const fused = {
    activationBytes: { base: 0, perSample: activations },
    crossingBytes: { base: 0, perSample: 0 },
  };
  return { units, cuts, tied: [], fused };
}

/** Blocks of attention and a multilayer perceptron, each cut in two norms, attention, and two products. */
function gpt(blocks: number, width: number, context: number): LayerProfile {
  const token = 4 * width * context;
  const units = Array.from({ length: blocks }, (_, i) => [
    unitOf(`norm${i}`, 0, 8 * width, token),
    unitOf(`attention${i}`, 8 * width ** 2 * context + 4 * width * context ** 2, 16 * width ** 2, 6 * token),
    unitOf(`up${i}`, 8 * width ** 2 * context, 16 * width ** 2, 5 * token),
    unitOf(`down${i}`, 8 * width ** 2 * context, 16 * width ** 2, token),
  ]).flat();
  return chain(units, () => 2 * token);
}

/** Four groups of convolutions: images get smaller, channels more. */
function resnet(blocks: number): LayerProfile {
  const units = Array.from({ length: blocks }, (_, i) => {
    const group = Math.floor((4 * i) / blocks);
    const [channels, side] = [64 * 2 ** group, 56 / 2 ** group];
    return unitOf(`block${i}`, 36 * channels ** 2 * side ** 2, 72 * channels ** 2, 24 * channels * side ** 2);
  });
  return chain(units, (i) => units[i]!.savedBytesPerSample / 6);
}

function cluster(count: number, kinds: 'few' | 'all different'): readonly Device[] {
  const random = new Random(keyOf(`planner ${count} ${kinds}`));
  return Array.from({ length: count }, (_, i): Device => {
    const host = `host${Math.floor(i / 4)}`;
    const speed = kinds === 'few' ? 1 + (Math.floor(i / 4) % 3) : 1 + 4 * random.uniform();
    return {
      id: `${host}/cuda:${i % 4}`,
      host,
      kind: 'cuda',
      memoryBytes: Math.round((kinds === 'few' ? 8 * speed : 8 + 24 * random.uniform()) * 1024) * MIB,
      flops: 5e12 * speed,
      memoryBandwidthBytesPerSecond: 200e9 * speed,
    };
  });
}

function shapeOf(plan: Plan): string {
  const replicas = plan.stages.map((stage) => stage.replicas.length);
  const { kind, microBatches } = plan.schedule;
  const counts =
    replicas.length <= 8 ? replicas.join('+') : `${replicas.length} stages of ${Math.max(...replicas)}`;
  return `${kind}, ${microBatches} micro-batches, devices ${counts}`;
}

const limit = Number(process.argv[2] ?? Infinity);
const counts = process.argv.length > 3 ? process.argv.slice(3).map(Number) : [8, 64, 1024];
console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}; limit ${limit} s a plan`);
const models = {
  'GPT 48 x 1600': gpt(48, 1600, 1024),
  'GPT 24 x 1024': gpt(24, 1024, 512),
  'ResNet, 48 blocks': resnet(48),
};
for (const [name, layers] of Object.entries(models)) {
  for (const kinds of ['few', 'all different'] as const) {
    for (const count of counts) {
      const devices = cluster(count, kinds);
      const [start, used] = [performance.now(), process.cpuUsage()];
      const plan = makePlan({
        layers,
        job: { stateFactor: 2, batchBytesPerSample: 8192, datasetBytes: 64 * MIB },
        batch: 2048,
        devices,
        topology: { links: [], defaultLink: { bandwidthBytesPerSecond: 3e9, latencySeconds: 0.00005 } },
        timeLimitSeconds: limit,
        now: () => performance.now() / 1000,
      });
      const seconds = (performance.now() - start) / 1000;
      const { user, system } = process.cpuUsage(used);
      console.log(
        `${name}, ${count} devices, ${kinds}: planned in ${seconds.toFixed(2)} s, CPU ${((user + system) / 1e6).toFixed(2)} s; step ${formatSeconds(plan.predictedStepSeconds)}, ` +
          `gap ${((plan.gap ?? 0) * 100).toFixed(1)} %; ${shapeOf(plan)}`,
      );
    }
  }
}
