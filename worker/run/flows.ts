import { Outbox } from '../../collectives/index.js';
import type { RankFlow } from '../messages.js';

/** How messages got to other ranks, of those streams that carried any. @param open whatever is open between ranks */
export function flowsOf(open: readonly object[]): readonly RankFlow[] {
  return open.flatMap((part) =>
    part instanceof Outbox && part.flow ? [{ toRank: part.peer, ...part.flow }] : [],
  );
}
