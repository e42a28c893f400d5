import { parse } from 'yaml';
import { UsageError } from '../errors.js';

/** One `--set data.train.rows=[0,100]`: the path and the value, read as YAML. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly text: string;
}

/** @throws UsageError for what is not KEY=VALUE or whose value is no YAML */
export function parseOverride(text: string): Override {
  const at = text.indexOf('=');
  const path = text.slice(0, Math.max(0, at)).split('.');
  if (at <= 0 || path.some((key) => key === '')) {
    throw new UsageError(
      `--set ${text}: write KEY=VALUE, the key with dots for what is inside: --set optimizer.lr=0.01`,
    );
  }
  try {
    return { path, value: parse(text.slice(at + 1)) as unknown, text };
  } catch (error) {
    throw new UsageError(`--set ${text}: the value is not YAML (${String(error)})`, { cause: error });
  }
}

/**
 * The document with one value replaced or added; the document itself is not changed.
 * A number in the path indexes a list. A value of null removes the key.
 * @throws UsageError when the path leads through something that is neither a map nor a list
 */
export function applyOverride(document: unknown, { path, value, text }: Override): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const inner = { path: rest, value, text };
  if (Array.isArray(document)) {
    const items = document as readonly unknown[];
    const index = Number(key);
    if (!Number.isInteger(index) || index < 0 || index >= items.length) {
      throw new UsageError(`--set ${text}: "${key}" is not an index of a list of ${items.length}`);
    }
    return items.map((item, i) => (i === index ? applyOverride(item, inner) : item));
  }
  if (typeof document !== 'object' && document !== undefined) {
    throw new UsageError(
      `--set ${text}: there is nothing inside ${JSON.stringify(document)} to name "${key}"`,
    );
  }
  const { [key]: old, ...others } = (document ?? {}) as Record<string, unknown>;
  if (rest.length === 0 && value === null) return others;
  return { ...others, [key]: applyOverride(old, inner) };
}
