import type { Seconds } from '../../../base/index.js';
import type { Message } from '../../../collectives/index.js';
import { turns, type FakeClock } from '../../unit/collectives/fake-clock.js';

export const DAMAGES = ['lose', 'repeat', 'corrupt', 'swap', 'silence', 'cut'] as const;
export type Damage = (typeof DAMAGES)[number];

/** Damages message number `at` of those from rank `sender` to rank `receiver` (and, for silence, all after it). */
export function damaging(kind: Damage, sender: number, receiver: number, at: number, bit: number) {
  let count = -1;
  let kept: Message | undefined;
  return (message: Message, from: number, to: number): readonly Message[] => {
    if (from !== sender || to !== receiver) return [message];
    count++;
    if (kind === 'swap' && kept && count === at + 1) return [message, kept];
    if (kind === 'silence' && count >= at) return [];
    if (count !== at) return [message];
    switch (kind) {
      case 'lose':
        return [];
      case 'repeat':
        return [message, message];
      case 'swap':
        kept = message;
        return [];
      case 'cut':
        return [message.slice(0, 1)];
      case 'corrupt': {
        const parts = message.map((part) => Uint8Array.from(part));
        const bits = 8 * parts.reduce((sum, part) => sum + part.length, 0);
        let byte = (bit % bits) >> 3;
        for (const part of parts) {
          if (byte < part.length) {
            part[byte]! ^= 1 << (bit & 7);
            break;
          }
          byte -= part.length;
        }
        return [parts];
      }
      case 'silence':
        return [];
    }
  };
}

/** Drives the fake clock until all is settled; fails the test where that takes more than the deadlines allow. */
export async function settle<T>(
  clock: FakeClock,
  promises: readonly Promise<T>[],
  deadline: Seconds,
): Promise<PromiseSettledResult<T>[]> {
  let results: PromiseSettledResult<T>[] | undefined;
  void Promise.allSettled(promises).then((settled) => (results = settled));
  for (let second = 0; results === undefined && second <= 4 * deadline; second++) {
    await turns(30);
    clock.advance(1);
  }
  await turns(30);
  if (results === undefined) throw new RangeError('something hangs');
  return results;
}
