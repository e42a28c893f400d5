import { isReceive, isSend, type Action } from './action.js';
import { rankOf, type PipelineSchedule } from './schedule.js';

/** The channel that a transfer takes: one boundary between two stages, in one direction. */
export function channelOf({ kind, stage }: Action): string {
  const activation = kind.endsWith('activation');
  const from = kind.startsWith('send') ? stage : activation ? stage - 1 : stage + 1;
  return activation ? `${from}>${from + 1}` : `${from}>${from - 1}`;
}

/** The rank at the other end of a transfer. */
export function peerOf({ kind, stage }: Action, ranks: number): number {
  const forwards = kind === 'send-activation' || kind === 'receive-gradient';
  return rankOf(forwards ? stage + 1 : stage - 1, ranks);
}

/**
 * Goes through all programs at once, each in its order, as ranks do: a receive waits until its message was sent,
 * everything else goes on. O(actions).
 *
 * @param visit called once for each action that is reached, after what it waits for
 * @returns where the ranks stopped: the action that each still waits with, undefined where it came to its end
 */
export function follow(
  { programs, ranks }: PipelineSchedule,
  visit: (action: Action, rank: number) => void,
): readonly (Action | undefined)[] {
  const next = new Array<number>(ranks).fill(0);
  const sent = new Set<string>();
  const waiting = new Map<string, number>();
  const message = (action: Action) => `${channelOf(action)}#${action.microBatch}`;
  const ready = Array.from({ length: ranks }, (_, rank) => rank);
  for (let rank = ready.pop(); rank !== undefined; rank = ready.pop()) {
    const program = programs[rank]!;
    for (let action = program[next[rank]!]; action; action = program[next[rank]!]) {
      if (isReceive(action.kind) && !sent.has(message(action))) {
        waiting.set(message(action), rank);
        break;
      }
      visit(action, rank);
      next[rank]!++;
      if (!isSend(action.kind)) continue;
      sent.add(message(action));
      const woken = waiting.get(message(action));
      if (woken === undefined) continue;
      waiting.delete(message(action));
      ready.push(woken);
    }
  }
  return programs.map((program, rank) => program[next[rank]!]);
}
