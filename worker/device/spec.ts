import { parseBytes, type Bytes } from '../../base/index.js';
import type { DeviceKind } from '../../scheduler/index.js';
import { DeviceSpecError } from '../errors.js';

/** A device as asked for on the command line; undefined where the host's default applies. */
export interface DeviceSpec {
  readonly kind: DeviceKind;
  readonly index: number;
  readonly memoryBytes: Bytes | undefined;
  readonly threads: number | undefined;
  readonly engine: string | undefined;
  /** Throttle: the share of its speed that the device may use, in (0, 1]. */
  readonly speed: number;
}

const KINDS: readonly DeviceKind[] = ['cpu', 'webgpu', 'cuda', 'webgl', 'wasm'];
const OPTIONS = ['memory', 'threads', 'engine', 'speed'];

/**
 * Reads `cpu:0,memory=2GiB,threads=1,engine=onnxruntime,speed=0.5`.
 * @throws DeviceSpecError naming the part that is wrong
 */
export function parseDeviceSpec(text: string): DeviceSpec {
  const [head = '', ...rest] = text.split(',');
  const [kindText = '', indexText = '0', ...more] = head.split(':');
  const kind = KINDS.find((known) => known === kindText);
  if (!kind) throw new DeviceSpecError(text, `"${kindText}" is not a kind of device (${KINDS.join(', ')})`);
  if (more.length > 0 || !/^\d+$/.test(indexText)) {
    throw new DeviceSpecError(text, `"${indexText}" is not an index (0, 1, ...)`);
  }
  const options = new Map<string, string>();
  for (const part of rest) {
    const at = part.indexOf('=');
    const key = at < 0 ? part : part.slice(0, at);
    if (!OPTIONS.includes(key))
      throw new DeviceSpecError(text, `unknown option "${key}" (${OPTIONS.join(', ')})`);
    if (at < 0 || at === part.length - 1) throw new DeviceSpecError(text, `"${key}" has no value`);
    if (options.has(key)) throw new DeviceSpecError(text, `"${key}" is given twice`);
    options.set(key, part.slice(at + 1));
  }
  const memory = options.get('memory');
  const memoryBytes = memory === undefined ? undefined : parseBytes(memory);
  if (memoryBytes === 0) throw new DeviceSpecError(text, `memory=${memory!} is no budget: nothing fits it`);
  return {
    kind,
    index: Number(indexText),
    memoryBytes,
    threads: numberOption(
      text,
      options,
      'threads',
      (n) => Number.isInteger(n) && n >= 1,
      'a whole number from 1',
    ),
    engine: options.get('engine'),
    speed: numberOption(text, options, 'speed', (n) => n > 0 && n <= 1, 'a number above 0, at most 1') ?? 1,
  };
}

function numberOption(
  spec: string,
  options: ReadonlyMap<string, string>,
  key: string,
  accepts: (value: number) => boolean,
  what: string,
): number | undefined {
  const text = options.get(key);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!accepts(value)) throw new DeviceSpecError(spec, `${key}=${text} is not ${what}`);
  return value;
}
