import type { ResolveHook } from 'node:module';

/**
 * Lets a model module import `dtrain/nn` from wherever it lies, without installing dtrain beside it: what is not found
 * from there is found from here. Runs in Node's loader thread.
 */
export const resolve: ResolveHook = async (specifier, context, next) => {
  if (specifier !== 'dtrain' && !specifier.startsWith('dtrain/')) return next(specifier, context);
  try {
    return await next(specifier, context);
  } catch {
    return next(specifier, { ...context, parentURL: import.meta.url });
  }
};
