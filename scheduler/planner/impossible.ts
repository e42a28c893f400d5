import { CannotRunError } from '../errors.js';
import type { RejectedPlan } from '../plan.js';
import {
  Abilities,
  abilityKey,
  cannotRun,
  obstaclesOf,
  usesOwnOperators,
  type Obstacle,
} from './abilities.js';
import type { PlanRequest } from './request.js';

/** More devices than this are not named one by one. */
const MOST_NAMED = 4;

type Asked = Pick<PlanRequest, 'layers' | 'devices'>;
type Micro = Asked & Pick<PlanRequest, 'batch' | 'parallelism'>;
type Lacking = readonly (readonly [string, readonly Obstacle[]])[];

/**
 * Layers that no device can run are found before anything is searched for. O(kinds of devices x units).
 * @throws CannotRunError naming the layer, and what each device lacks
 */
export function refuseImpossible({ layers, devices }: Asked): void {
  const kinds = new Map(devices.map((device) => [abilityKey(device), device]));
  const own = usesOwnOperators(layers);
  if (kinds.has('') && !own) return;
  const abilities = [...kinds.values()].map((device) => new Abilities(layers, device));
  const nobody = layers.units.findIndex((_, unit) =>
    abilities.every((each) => each.samples(unit, unit + 1) < 1),
  );
  if (nobody < 0) return;
  const alone = { ...layers, units: [layers.units[nobody]!] };
  throw refusalOf(
    lackingAmong({ layers: alone, devices }, 1),
    'no device can run the whole model',
    own
      ? 'a device with engine=gpujs (cpu:0,engine=gpujs; wasm:0; webgpu:0,engine=gpujs) runs operators of your own'
      : 'a cpu device with engine=onnxruntime runs every operator that can be trained',
  );
}

/**
 * Each device runs a part, but none of them alone nor together all, as the job asks for it.
 * @param advice what would make it possible, where that is known
 */
export function impossibleTogether(asked: Micro, advice: string | undefined): CannotRunError {
  return refusalOf(
    lackingAmong(asked, samplesAtOnce(asked)),
    'no plan of this model, however much memory the devices had',
    advice ??
      (usesOwnOperators(asked.layers)
        ? 'devices with engine=gpujs run operators of your own'
        : 'a cpu device with engine=onnxruntime runs every operator that can be trained, and values of any size'),
  );
}

/** What devices cannot run, or not with as many samples at once as the job asks for, a sentence each. */
export function incapable(asked: Micro): readonly string[] {
  return lackingAmong(asked, samplesAtOnce(asked)).map(([id, obstacles]) => cannotRun(id, obstacles));
}

function samplesAtOnce({ batch, parallelism }: Micro): number {
  return Math.ceil(batch / (parallelism?.microBatches ?? 1));
}

/** What devices cannot run, or not with all samples of a step at once. */
export function limitedTo({ layers, devices, batch }: Micro): readonly RejectedPlan[] {
  return devices.flatMap(({ id }, i) => {
    const obstacles = obstaclesOf(layers, devices[i]!, batch);
    const never = obstacles.filter(({ samples }) => samples < 1);
    if (never.length > 0) return [{ plan: `alone on ${id}`, reason: cannotRun(id, never) }];
    const most = Math.min(...obstacles.map(({ samples }) => samples));
    if (obstacles.length === 0) return [];
    const plan = `more than ${most} samples at once on ${id}`;
    return [{ plan, reason: cannotRun(id, obstacles) }];
  });
}

function lackingAmong({ layers, devices }: Asked, samples: number): Lacking {
  return devices.flatMap((device) => {
    const obstacles = obstaclesOf(layers, device, samples);
    return obstacles.length > 0 ? [[device.id, obstacles] as const] : [];
  });
}

function refusalOf(lacking: Lacking, what: string, advice: string): CannotRunError {
  const named = lacking.slice(0, MOST_NAMED).map(([id, obstacles]) => cannotRun(id, obstacles));
  const more = lacking.length > MOST_NAMED ? `; nor can ${lacking.length - MOST_NAMED} more devices` : '';
  const all = lacking.flatMap(([, obstacles]) => obstacles);
  return new CannotRunError(`${what}: ${named.join('; ')}${more}; ${advice}`, {
    devices: lacking.map(([id]) => id),
    operators: [...new Set(all.flatMap(({ operator }) => operator ?? []))],
    nodes: [...new Set(all.map(({ node }) => node))],
  });
}
