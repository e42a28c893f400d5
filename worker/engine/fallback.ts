import { CompileError } from './errors.js';
import type { Fallback } from './port.js';

/** Nodes that are named in an error. */
const MOST_NAMED = 8;

/** A graph that is refused because so much of it would not run on the device. @param fallbacks at least one */
export function fallbackForbidden(
  engine: string,
  graph: string,
  device: string,
  fallbacks: readonly Fallback[],
): CompileError {
  const named = fallbacks
    .slice(0, MOST_NAMED)
    .map(({ node, operator, reason }) => `"${node}" (${operator}): ${reason}`);
  const more = fallbacks.length > named.length ? `; and ${fallbacks.length - named.length} more` : '';
  const [first] = fallbacks;
  return new CompileError(
    engine,
    graph,
    `${fallbacks.length} node${fallbacks.length === 1 ? '' : 's'} would run on the CPU and not on ${device}, which is ` +
      `forbidden here: ${named.join('; ')}${more}`,
    { ids: { node: first!.node, operator: first!.operator } },
  );
}
