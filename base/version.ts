import { readFileSync } from 'node:fs';
import { InvariantError } from './errors.js';

/** The version in package.json, found from wherever the build put this file. */
function readVersion(): string {
  for (const up of ['../package.json', '../../package.json', '../../../package.json']) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'));
      if (typeof found === 'object' && found !== null && 'version' in found && 'name' in found) {
        if (found.name === 'dtrain') return String(found.version);
      }
    } catch {
      continue; // not at this depth
    }
  }
  throw new InvariantError('package.json of dtrain was not found beside the build');
}

export const version: string = readVersion();
