import { readFile } from 'node:fs/promises';
import type { ResolveHook } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Files that are modules or CommonJS as the nearest package.json says, if there is one. */
const EITHER = /\.[jt]sx?$/;
/** A statement that modules alone have. */
const STATEMENT = /^\s*(import\s*["'{*\w]|export\s+(default|const|let|function|async|class|\{|\*))/m;

/**
 * Lets a model module import `dtrain/nn` from wherever it lies, without installing dtrain beside it: what is not found
 * from there is found from here. A file that imports or exports is a module, also in a folder whose package.json says
 * nothing of it, or that has none: what CommonJS requires does not come by here. Runs in Node's loader thread.
 */
export const resolve: ResolveHook = async (specifier, context, next) => {
  if (specifier !== 'dtrain' && !specifier.startsWith('dtrain/')) {
    const found = await next(specifier, context);
    return (await isModule(found)) ? { ...found, format: 'module' } : found;
  }
  try {
    return await next(specifier, context);
  } catch {
    return next(specifier, { ...context, parentURL: import.meta.url });
  }
};

async function isModule({ url, format }: Awaited<ReturnType<ResolveHook>>): Promise<boolean> {
  if (format === 'module' || !url.startsWith('file:')) return false;
  const path = fileURLToPath(url);
  if (!EITHER.test(path) || /[\\/]node_modules[\\/]/.test(path)) return false;
  try {
    return STATEMENT.test(await readFile(path, 'utf8'));
  } catch {
    return false; // whoever loads it says so
  }
}
