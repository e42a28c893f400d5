import type { Seconds } from '../../base/index.js';
import type { Device } from '../device.js';
import { CalibratedEfforts } from './calibrate.js';
import { ratesOf } from './cost.js';
import type { LayerProfile } from './layers.js';

/** References whose price list the bound is tried with; more would only tighten it. */
const MOST_REFERENCES = 16;

/**
 * Seconds that no plan of a step goes below, whatever memory the devices have and however fast their links are.
 *
 * The larger of two. One sample passes every unit, each on the device that is fastest at it, launches
 * included. And all samples are computed by all devices at once: by linear-programming duality, with any prices y of
 * units, T >= batch x sum(y) / sum over devices of the largest y/p, p being what a unit takes there (Graham's list
 * bound where the devices' rates are in proportion). O(kinds of devices x units).
 */
export function lowerBound(layers: LayerProfile, devices: readonly Device[], batch: number): Seconds {
  const each = layers.units.map((_, unit) => ({ from: unit, to: unit + 1 }));
  const efforts = new CalibratedEfforts(layers, each);
  const kinds = new Map<string, { device: Device; count: number }>();
  for (const device of devices) {
    const key = efforts.classOf(device);
    const known = kinds.get(key);
    if (known) known.count++;
    else kinds.set(key, { device, count: 1 });
  }
  const classes = [...kinds.values()].map(({ device, count }) => {
    const rates = ratesOf(device);
    const own = efforts.of(device);
    const units = layers.units.map((_, unit) => own.least(unit, rates));
    return { count, units };
  });
  const oneSample = layers.units.reduce((sum, _, unit) => {
    const fastest = classes.reduce((least, { units }) => {
      const { constant, perSample } = units[unit]!;
      return Math.min(least, constant + perSample);
    }, Infinity);
    return sum + fastest;
  }, 0);
  const references = [...classes].sort((a, b) => total(a.units) - total(b.units)).slice(0, MOST_REFERENCES);
  const together = references.reduce((most, { units: prices }) => {
    const speed = classes.reduce((sum, { count, units }) => {
      const value = prices.reduce((best, price, unit) => {
        if (price.perSample === 0) return best;
        return Math.max(best, price.perSample / units[unit]!.perSample);
      }, 0);
      return sum + count * value;
    }, 0);
    return speed > 0 ? Math.max(most, (batch * total(prices)) / speed) : most;
  }, 0);
  return Math.max(oneSample, together);
}

function total(units: readonly { readonly perSample: number }[]): number {
  return units.reduce((sum, { perSample }) => sum + perSample, 0);
}
