import t from 'tap';

const asked = process.env['DTRAIN_TRIAL_RUNS'];
const only = process.env['DTRAIN_TRIALS']?.split(',');

/** How often each operator is tried: as usual, or DTRAIN_TRIAL_RUNS times, without a limit of time then. */
export function runsOf(usual: number): number {
  if (asked === undefined) return usual;
  t.setTimeout(0);
  return Number(asked);
}

/** Whether an operator is tried: all are, or those that DTRAIN_TRIALS names (`Add,Pad`). */
export const isTried = (key: string): boolean => only?.includes(key) ?? true;

/** Whether all are. */
export const allTried = only === undefined;
