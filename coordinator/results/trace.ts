import { readFile, stat } from 'node:fs/promises';
import type { Bytes } from '../../base/index.js';
import {
  fromRankTrace,
  mergeRanks,
  toChromeTrace,
  TraceError,
  type TraceNames,
} from '../../scheduler/index.js';
import { writeWhole } from './files.js';

/** No rank records more than that; what is larger comes from something else. */
const LARGEST_RECORD: Bytes = 64 * 2 ** 20;

/**
 * Writes what the ranks of a run recorded as one Chrome trace, threads named after their devices.
 * @param files by rank
 * @throws TraceError where a file is no record of a rank; whatever reading and writing throw
 */
export async function writeTrace(to: string, names: TraceNames, files: readonly string[]): Promise<void> {
  const ranks = [];
  for (const [rank, file] of files.entries()) {
    const bytes = (await stat(file)).size;
    if (bytes > LARGEST_RECORD)
      throw new TraceError(`rank ${rank} recorded ${bytes} bytes: too many to read`);
    const events = fromRankTrace(parsed(await readFile(file, 'utf8'), rank));
    ranks.push(events.map((event) => ({ ...event, rank })));
  }
  await writeWhole(to, `${JSON.stringify(toChromeTrace(mergeRanks(ranks), names))}\n`);
}

function parsed(text: string, rank: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TraceError(`what rank ${rank} recorded is not JSON: ${(error as Error).message}`);
  }
}
