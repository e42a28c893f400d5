import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where dtrain keeps what outlives a process: XDG's data folder, or `--data-dir`. */
export function dataFolder(option: string | undefined, env: NodeJS.ProcessEnv, cwd: string): string {
  if (option !== undefined) return resolve(cwd, option);
  const xdg = env['XDG_DATA_HOME'];
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.local', 'share'), 'dtrain');
}

/** Where a worker keeps copies of models and data: XDG's cache folder, or `--cache-dir`. */
export function cacheFolder(option: string | undefined, env: NodeJS.ProcessEnv, cwd: string): string {
  if (option !== undefined) return resolve(cwd, option);
  const xdg = env['XDG_CACHE_HOME'];
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'dtrain');
}
