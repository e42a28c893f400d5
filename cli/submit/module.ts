import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { tsImport } from 'tsx/esm/api';

/**
 * What a TypeScript or JavaScript module exports as its default. The module's own code runs in this process.
 * @throws what the module throws, and its syntax errors
 */
export async function defaultExportOf(path: string): Promise<unknown> {
  return (await exportsOf(path))['default'];
}

/** All that a module exports, by name; likewise. */
export async function exportsOf(path: string): Promise<Readonly<Record<string, unknown>>> {
  register('./resolve-hook.js', import.meta.url);
  const exported = (await tsImport(pathToFileURL(path).href, {
    parentURL: import.meta.url,
    tsconfig: false,
  })) as Readonly<Record<string, unknown>>;
  const value = exported['default'];
  // a module in a folder that is CommonJS by its package.json arrives wrapped once more
  const wrapped = typeof value === 'object' && value !== null && '__esModule' in value && 'default' in value;
  return wrapped ? { ...value } : exported;
}
