import { spawnSync } from 'node:child_process';

/** The Python that judges: `DTRAIN_PYTHON`, or the system's, which Debian's packages belong to. */
export const python = process.env['DTRAIN_PYTHON'] ?? '/usr/bin/python3';

/** What a test is skipped for: false where Python has the module, else who lacks it. */
export function lacks(module: string): string | false {
  const found = spawnSync(python, ['-c', `import ${module}`]).status === 0;
  return found ? false : `${python} has no ${module}`;
}

/** A tensor as the scripts print it. */
export interface Flat {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
