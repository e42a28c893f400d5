import { formatBytes, type Bytes } from '../../base/index.js';
import { isOwnOperator, runsOperator, type Device } from '../device.js';
import type { LayerProfile, Unit, ValueBytes } from './layers.js';
import { maximumOf, sparseMaxima } from './maxima.js';

/** Of layers and of reasons no more are told. */
const MOST_LISTED = 3;

/** What decides on which units a device can run, whatever its memory. */
type Limits = Pick<Device, 'operators' | 'maxBufferBytes'>;

/** Devices with one key have the same abilities; '' is that of those which run everything but users' own operators. */
export function abilityKey({ operators, maxBufferBytes }: Limits): string {
  return operators || maxBufferBytes !== undefined
    ? `${operators?.join() ?? '*'}|${maxBufferBytes ?? ''}`
    : '';
}

/** Whether a model has operators that its user has defined: then no device runs all models. */
export function usesOwnOperators({ units }: LayerProfile): boolean {
  return units.some(({ operators = [] }) => operators.some(isOwnOperator));
}

/** What a device can run of a model. */
export class Abilities {
  /** Of the samples of a micro-batch that are not too many, less than zero. */
  readonly #negated: readonly Float64Array[];

  constructor({ units }: LayerProfile, limits: Limits) {
    const known = limits.operators && new Set(limits.operators);
    this.#negated = sparseMaxima(units.map((unit) => -mostSamples(unit, known, limits.maxBufferBytes)));
  }

  /** The most samples at once for units [from, to): 0 where one of them cannot run at all. O(1). */
  samples(from: number, to: number): number {
    return -maximumOf(this.#negated, from, to);
  }
}

function mostSamples(
  { operators = [], largest }: Unit,
  known: ReadonlySet<string> | undefined,
  maxBufferBytes: Bytes = Infinity,
): number {
  if (operators.some((operator) => !runsOperator(known, operator))) return 0;
  if ((largest?.fixed?.base ?? 0) > maxBufferBytes) return 0;
  const { growing } = largest ?? {};
  return growing ? Math.max(0, Math.floor((maxBufferBytes - growing.base) / growing.perSample)) : Infinity;
}

/** Why a device cannot run something, or not as much of it as it might have to. */
export interface Obstacle {
  readonly device: Device;
  /** Index of the unit. */
  readonly unit: number;
  /** For people, without device and layer. */
  readonly reason: string;
  /** The layer's, for people. */
  readonly layer: string;
  /** Samples of a micro-batch that it could do: 0 where none. */
  readonly samples: number;
  /** A node of the model, or of its training step, that shows it. */
  readonly node: string;
  /** What it lacks, where that is why. */
  readonly operator?: string;
}

/**
 * What keeps a device from running units: of each operator that it lacks and of values that are too large the first unit.
 * @param samples that it might have to do at once
 */
export function obstaclesOf(layers: LayerProfile, device: Device, samples: number): readonly Obstacle[] {
  const { operators, maxBufferBytes = Infinity } = device;
  const known = operators && new Set(operators);
  const found = new Map<string, Obstacle>();
  layers.units.forEach((unit, index) => {
    const add = (key: string, obstacle: Omit<Obstacle, 'device' | 'unit' | 'layer'>) => {
      const before = found.get(key);
      if (before && before.samples <= obstacle.samples) return;
      found.set(key, { device, unit: index, layer: layerName(unit), ...obstacle });
    };
    for (const operator of unit.operators ?? []) {
      if (runsOperator(known, operator)) continue;
      const example = layers.examples?.[operator];
      const first = example === undefined ? '' : ` (first in node "${example}")`;
      const mend = isOwnOperator(operator) ? ', which devices with engine=gpujs run' : '';
      const reason = `operator ${operator}${first}${mend}`;
      add(`operator ${operator}`, { samples: 0, operator, reason, node: example ?? unit.nodes[0] ?? '' });
    }
    for (const value of [unit.largest?.fixed, unit.largest?.growing]) {
      if (!value || value.base + value.perSample * samples <= maxBufferBytes) continue;
      const most = mostSamples({ ...unit, operators: [] }, undefined, maxBufferBytes);
      const reason = tooLarge(value, maxBufferBytes, most, samples);
      add('value', { samples: most, reason, node: unit.nodes[0] ?? '' });
    }
  });
  return [...found.values()];
}

function tooLarge(value: ValueBytes, limit: Bytes, most: number, samples: number): string {
  const count = most < 1 ? 1 : samples;
  const bytes = formatBytes(value.base + value.perSample * count);
  const of = value.perSample === 0 ? '' : ` with ${count} sample${count === 1 ? '' : 's'}`;
  return `value "${value.value}" of ${bytes}${of} exceeds its largest binding of ${formatBytes(limit)}`;
}

/** `layer "/conv1/Conv"`, or the first node and the last. */
function layerName({ nodes }: Unit): string {
  const [first = 'without nodes'] = nodes;
  return nodes.length > 1 ? `layer "${first}" to "${nodes.at(-1)}"` : `layer "${first}"`;
}

/** `webgpu:0 cannot run layer X: operator LSTM; layer Y: value ...`: the first few layers, with the first few reasons. */
export function cannotRun(id: string, obstacles: readonly Obstacle[]): string {
  const layers = new Map<string, string[]>();
  for (const { layer, reason } of obstacles) layers.set(layer, [...(layers.get(layer) ?? []), reason]);
  const named = [...layers].map(([layer, reasons]) => `${layer}: ${listed(reasons, ', ')}`);
  return `${id} cannot run ${listed(named, '; ')}`;
}

function listed(all: readonly string[], separator: string): string {
  const more = all.length - MOST_LISTED;
  return more > 0 ? `${all.slice(0, MOST_LISTED).join(separator)} and ${more} more` : all.join(separator);
}
