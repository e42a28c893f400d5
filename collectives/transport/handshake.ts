import { version } from '../../base/index.js';
import { FRAME_VERSION } from '../frame/header.js';
import type { EdgeLimits, Member } from './transport.js';

/** What the rank that opens an edge says first. */
export interface Hello {
  readonly dtrain: string;
  readonly frames: number;
  readonly job: string;
  readonly epoch: number;
  readonly worldSize: number;
  readonly from: number;
  readonly to: number;
  /** What the edge is for: the other side waits for it under the same name. */
  readonly purpose: string;
  /** The sizes that both must agree on: the longest message, the lane's slots and their bytes. */
  readonly limits: readonly [number, number, number];
}

/** Where an edge is, the word that opens it, and the file of its lane for whoever is on the same host. */
export interface Welcome {
  readonly endpoints: readonly string[];
  readonly token: string;
  readonly lane?: string;
}

/** What the caller is told: how to come in, or why not. */
export type Reply = { readonly welcome: Welcome } | { readonly refused: string };

/** Why a name cannot be the purpose of an edge; undefined when it can. */
export function mistakeInPurpose(purpose: string): string | undefined {
  if (purpose.length > 0 && purpose.length <= MAX_PURPOSE && !/\p{Cc}/u.test(purpose)) return undefined;
  return `an edge's purpose is a name of 1 to ${MAX_PURPOSE} characters without control characters, not ${JSON.stringify(purpose.slice(0, MAX_PURPOSE))}`;
}

export function helloOf(member: Member, to: number, limits: EdgeLimits, purpose: string): Hello {
  return {
    dtrain: version,
    frames: FRAME_VERSION,
    job: member.job,
    epoch: member.epoch,
    worldSize: member.worldSize,
    from: member.rank,
    to,
    purpose,
    limits: [limits.maxMessageBytes, limits.laneSlots, limits.laneSlotBytes],
  };
}

/** Why `member` does not let the sender of `hello` in; undefined when it does. */
export function refusalOf(hello: Hello, member: Member, limits: EdgeLimits): string | undefined {
  const mine = helloOf(member, member.rank, limits, hello.purpose);
  if (hello.dtrain !== mine.dtrain || hello.frames !== mine.frames) {
    return `version ${hello.dtrain} (frames ${hello.frames}) does not match ${mine.dtrain} (frames ${mine.frames}): install the same dtrain on every host`;
  }
  if (hello.job !== mine.job) return `job ${hello.job} does not match ${mine.job}`;
  if (hello.epoch < mine.epoch)
    return `membership epoch ${hello.epoch} is over; the current one is ${mine.epoch}`;
  if (hello.epoch > mine.epoch)
    return `membership epoch ${hello.epoch} has not reached rank ${member.rank}, which is in ${mine.epoch}`;
  if (hello.worldSize !== mine.worldSize)
    return `world size ${hello.worldSize} does not match ${mine.worldSize}`;
  if (hello.to !== member.rank) return `rank ${hello.to} was called; rank ${member.rank} answers here`;
  if (
    !Number.isInteger(hello.from) ||
    hello.from < 0 ||
    hello.from >= mine.worldSize ||
    hello.from === member.rank
  ) {
    return `rank ${hello.from} cannot be a peer of rank ${member.rank} of ${mine.worldSize}`;
  }
  const mistake = mistakeInPurpose(hello.purpose);
  if (mistake !== undefined) return mistake;
  if (hello.limits.join() !== mine.limits.join()) {
    return `its limits ${hello.limits.join(', ')} (message bytes, lane slots, bytes of a slot) differ from ${mine.limits.join(', ')}`;
  }
  return undefined;
}

/** Reads a hello; undefined when the bytes are not one. */
export function parseHello(bytes: Uint8Array): Hello | undefined {
  const value = parseObject(bytes);
  if (value === undefined) return undefined;
  const { dtrain, frames, job, epoch, worldSize, from, to, purpose, limits } = value;
  if (typeof dtrain !== 'string' || typeof job !== 'string') return undefined;
  if (typeof frames !== 'number' || typeof epoch !== 'number' || typeof worldSize !== 'number')
    return undefined;
  if (typeof from !== 'number' || typeof to !== 'number') return undefined;
  if (!Array.isArray(limits)) return undefined;
  const [message, slots, slotBytes] = limits.map(Number);
  if (message === undefined || slots === undefined || slotBytes === undefined) return undefined;
  // A build that knows no purposes has another version of frames, and is told so.
  const named = typeof purpose === 'string' ? purpose : '';
  const sizes = [message, slots, slotBytes] as const;
  return { dtrain, frames, job, epoch, worldSize, from, to, purpose: named, limits: sizes };
}

/** Reads a reply; undefined when the bytes are not one. */
export function parseReply(bytes: Uint8Array): Reply | undefined {
  const value = parseObject(bytes);
  if (value === undefined) return undefined;
  if (typeof value['refused'] === 'string') return { refused: value['refused'] };
  const welcome: unknown = value['welcome'];
  if (typeof welcome !== 'object' || welcome === null || !('endpoints' in welcome) || !('token' in welcome))
    return undefined;
  const { endpoints, token } = welcome;
  if (typeof token !== 'string' || !Array.isArray(endpoints)) return undefined;
  const texts = endpoints.filter((endpoint): endpoint is string => typeof endpoint === 'string');
  if (texts.length !== endpoints.length || texts.length === 0) return undefined;
  const lane = 'lane' in welcome && typeof welcome.lane === 'string' ? { lane: welcome.lane } : {};
  return { welcome: { endpoints: texts, token, ...lane } };
}

export function encodeJson(value: Hello | Reply): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

const MAX_PURPOSE = 200;

/** Longer than any hello or reply; a stranger's longer message is not read. */
export const MAX_HANDSHAKE_BYTES = 4096;

function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  if (bytes.length > MAX_HANDSHAKE_BYTES) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // a stranger's bytes
  }
}
