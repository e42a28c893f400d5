import { spawnSync } from 'node:child_process';

/** Prints whether gpu.js finds a WebGL context with float textures. */
const PROBE = "const { GPU } = require('gpu.js'); console.log(GPU.isHeadlessGLSupported)";

/**
 * Looks in a process of its own, since drivers abort.
 * @returns why a test on WebGL must be skipped (for tap's `skip`), or false where there is a context
 */
export function withoutWebgl(): string | false {
  const { stdout, status } = spawnSync(process.execPath, ['-e', PROBE], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (status === 0 && stdout.trim().endsWith('true')) return false;
  return 'no WebGL: package gl is not built, or there is no display (docs/devices.md)';
}
