import type { Calibration, ModelTiming } from '../calibration.js';
import type { Device } from '../device.js';
import { PlacementError } from '../errors.js';
import { Efforts, PARTS, ratesOf, secondsFor, type Effort, type Part } from './cost.js';
import { merged, mergeUnits, type LayerProfile, type Unit, type UnitRange, type Work } from './layers.js';

/** Factors beyond these tell of a measurement that went wrong rather than of a device. */
const LEAST_FACTOR = 1 / 20;
const MOST_FACTOR = 20;

/**
 * Ranges of a model's units to be timed by themselves, as many as asked for at most and of similar work; O(units^2).
 */
export function rangesToTime(layers: LayerProfile, most: number): readonly UnitRange[] {
  return mergeUnits(layers, most);
}

/**
 * Factors that make a device's rates foretell what was measured there. Units of no range, and parts for which
 * nothing is foretold, are taken to be off by as much as all that was measured of their part; without any range, by as much
 * as the whole step. Pure; O(units).
 */
export function calibrate(layers: LayerProfile, device: Device, timing: ModelTiming): Calibration {
  const efforts = new Efforts(layers.units);
  const rates = ratesOf(device);
  const foretold = (effort: Effort, samples: number) => {
    const { constant, perSample } = secondsFor(effort, rates);
    return constant + perSample * samples;
  };
  const { whole, ranges, samples } = timing;
  const all = [{ from: 0, to: layers.units.length }];
  const parts = PARTS.map((part) => {
    const predicted = ranges.map((range) => foretold(efforts.of(part, range, 'kept'), samples));
    const measured = ranges.map((range) => range[part]);
    return { part, predicted, measured, mean: factor(sum(measured), sum(predicted)) };
  });
  const fused = whole
    ? factor(whole.seconds, foretold(efforts.step(all, 'fused'), whole.samples))
    : factor(
        sum(parts.map(({ measured }) => sum(measured))),
        sum(parts.map(({ predicted }) => sum(predicted))),
      );
  const [forward, backwardInput, backwardWeight] = parts.map(({ predicted, measured, mean }) => {
    const factors = new Array<number>(layers.units.length).fill(ranges.length > 0 ? mean : fused);
    ranges.forEach(({ from, to }, i) => {
      if (predicted[i]! > 0) factors.fill(factor(measured[i]!, predicted[i]!), from, to);
    });
    return factors;
  }) as [number[], number[], number[]];
  return { forward, backwardInput, backwardWeight, fused };
}

/** Efforts of a model on devices: those of a calibrated one are as much greater as it was found to be slower. */
export class CalibratedEfforts {
  readonly plain: Efforts;
  readonly #known = new Map<Calibration, { readonly index: number; readonly efforts: Efforts }>();

  /**
   * @param layers the profile that calibrations speak of
   * @param ranges of its units that are taken together
   */
  constructor(
    private readonly layers: LayerProfile,
    private readonly ranges: readonly UnitRange[],
  ) {
    this.plain = new Efforts(merged(layers, ranges).units);
  }

  of({ calibration }: Device): Efforts {
    return calibration ? this.#of(calibration).efforts : this.plain;
  }

  /** The same for devices that take the same time for everything. */
  classOf(device: Device): string {
    const { flops, convolutionFlops, memoryBandwidthBytesPerSecond, launchSeconds, calibration } = device;
    const rates = [flops, convolutionFlops, memoryBandwidthBytesPerSecond, launchSeconds];
    return [...rates, calibration ? this.#of(calibration).index : ''].join('|');
  }

  #of(calibration: Calibration): { readonly index: number; readonly efforts: Efforts } {
    const known = this.#known.get(calibration);
    if (known) return known;
    const units = merged(
      { ...this.layers, units: scaled(this.layers.units, calibration) },
      this.ranges,
    ).units;
    const made = { index: this.#known.size, efforts: this.plain.calibrated(units, calibration.fused) };
    this.#known.set(calibration, made);
    return made;
  }
}

/** @throws PlacementError where a device's calibration is none of this model */
export function validateCalibrations({ units }: LayerProfile, devices: readonly Device[]): void {
  for (const { id, calibration } of devices) {
    if (!calibration) continue;
    const odd = PARTS.find((part) => calibration[part].length !== units.length);
    if (odd) {
      throw new PlacementError(
        `${id} was calibrated for another model: ${calibration[odd].length} factors (${odd}) for ${units.length} units; ` +
          'leave its calibration out, or profile the model there',
      );
    }
    const factors = [...PARTS.flatMap((part) => calibration[part]), calibration.fused];
    const bad = factors.find((each) => !(each > 0 && Number.isFinite(each)));
    if (bad !== undefined)
      throw new PlacementError(`${id} was calibrated with a factor of ${bad}; above 0 would be accepted`);
  }
}

function scaled(units: readonly Unit[], calibration: Calibration): readonly Unit[] {
  const part = (unit: Unit, i: number, name: Part): Work => {
    const { productFlops, convolutionFlops = 0, movedBytes, fixedBytes = 0, launches } = unit[name];
    const by = calibration[name][i]!;
    return {
      productFlops: productFlops * by,
      convolutionFlops: convolutionFlops * by,
      movedBytes: movedBytes * by,
      fixedBytes: fixedBytes * by,
      launches: launches * by,
    };
  };
  return units.map((unit, i) => ({
    ...unit,
    forward: part(unit, i, 'forward'),
    backwardInput: part(unit, i, 'backwardInput'),
    backwardWeight: part(unit, i, 'backwardWeight'),
    // what is kept leaves with the forward pass, and was timed with it
    savedBytesPerSample: unit.savedBytesPerSample * calibration.forward[i]!,
    rereadBytesPerSample: unit.rereadBytesPerSample * calibration.forward[i]!,
  }));
}

function factor(measured: number, predicted: number): number {
  if (!(measured > 0 && predicted > 0)) return 1;
  return Math.min(MOST_FACTOR, Math.max(LEAST_FACTOR, measured / predicted));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
