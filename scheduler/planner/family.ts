import type { Device } from '../device.js';
import type { Group } from './group.js';
import type { StageModel } from './stage.js';

/**
 * Which groups of devices may be the stages of a plan, and in which order: a graph whose paths, from a node of `last`
 * backwards, are the pipelines that are considered. It depends on who the devices are and how many, never on how fast
 * or how large they are: what a cluster may choose among stays when a device gets faster or larger.
 */
export interface Family {
  readonly groups: readonly Group[];
  readonly nodes: readonly FamilyNode[];
  /** Nodes that may be the last stage. */
  readonly last: readonly number[];
  /** Whether the paths are all there are: every order of all disjoint groups. */
  readonly complete: boolean;
}

export interface FamilyNode {
  readonly group: number;
  /** Nodes that may be the stage before. */
  readonly before: readonly number[];
  /** Speed of all devices that stages before may have, together. */
  readonly ahead: number;
}

/** Up to so many devices every order of every grouping is considered. */
export const ALL_ORDERS = 5;
/** Beyond that devices are taken in blocks, at most so many, in an order that keeps hosts together. */
export const MOST_BLOCKS = 16;
/** Of more runs than this a pipeline takes the last ones; of fewer it may begin and end with any. */
const RUNS_ANYWHERE = 32;
/** Up to so many blocks a stage may be followed by one that does not begin where it ended: those between are idle. */
const BLOCKS_WITH_GAPS = 9;

/**
 * All orders of all disjoint groups for up to five devices: O(3^n) nodes, O(4^n) edges. Beyond that devices are put in
 * the order of host, kind and id, cut into at most 16 blocks, and groups are runs of blocks: O(blocks^2) nodes, O(blocks^3)
 * edges, however many devices there are.
 * @param replicas keeps only groups of so many devices
 */
export function makeFamily(
  model: StageModel,
  devices: readonly Device[],
  replicas?: number,
  separate = false,
): Family {
  return devices.length <= ALL_ORDERS
    ? allOrders(model, devices, replicas, separate)
    : inOrder(model, devices, replicas, separate);
}

function allOrders(
  model: StageModel,
  devices: readonly Device[],
  replicas: number | undefined,
  separate: boolean,
): Family {
  const all = 2 ** devices.length - 1;
  const groups: Group[] = [];
  const masks: number[] = [];
  for (let mask = 1; mask <= all; mask++) {
    const members = devices.filter((_, i) => (mask >> i) & 1);
    if (replicas !== undefined && members.length !== replicas) continue;
    groups.push(model.groups.of(groups.length, members, separate));
    masks.push(mask);
  }
  const index = new Map<number, number>();
  const keys: { group: number; used: number }[] = [];
  for (let used = 1; used <= all; used++) {
    masks.forEach((mask, group) => {
      if ((mask & used) !== mask) return;
      index.set(group * (all + 1) + used, keys.length);
      keys.push({ group, used });
    });
  }
  const nodes = keys.map(({ group, used }): FamilyNode => {
    const before = masks.flatMap((mask, earlier) =>
      (mask & used) === 0 ? [index.get(earlier * (all + 1) + (used | mask))!] : [],
    );
    return { group, before, ahead: model.groups.speedOf(devices.filter((_, i) => !((used >> i) & 1))) };
  });
  const last = keys.flatMap(({ group, used }, i) => (used === masks[group] ? [i] : []));
  return { groups, nodes, last, complete: true };
}

function inOrder(
  model: StageModel,
  devices: readonly Device[],
  replicas: number | undefined,
  separate: boolean,
): Family {
  const ordered = [...devices].sort(
    (a, b) => compare(a.host, b.host) || compare(a.kind, b.kind) || compare(a.id, b.id),
  );
  const blocks = replicas === undefined ? blocksOf(ordered) : runsOf(ordered, replicas);
  const groups: Group[] = [];
  const spans: { from: number; to: number }[] = [];
  for (let from = 0; from < blocks.length; from++) {
    const longest = replicas === undefined ? blocks.length : from + 1;
    for (let to = from + 1; to <= longest; to++) {
      groups.push(model.groups.of(groups.length, blocks.slice(from, to).flat(), separate));
      spans.push({ from, to });
    }
  }
  const gaps = blocks.length <= BLOCKS_WITH_GAPS;
  const endingAt = blocks.map((_, end) => spans.flatMap((span, i) => (span.to === end ? [i] : [])));
  const nodes = spans.map(({ from }, group): FamilyNode => ({
    group,
    ahead: model.groups.speedOf(blocks.slice(0, from).flat()),
    before: gaps ? endingAt.slice(0, from + 1).flat() : (endingAt[from] ?? []),
  }));
  const all = nodes.map((_, i) => i);
  return {
    groups,
    nodes,
    last: replicas !== undefined && nodes.length > RUNS_ANYWHERE ? all.slice(-1) : all,
    complete: false,
  };
}

/** Blocks of as equal a size as possible. */
function blocksOf(devices: readonly Device[]): readonly (readonly Device[])[] {
  const count = Math.min(MOST_BLOCKS, devices.length);
  return Array.from({ length: count }, (_, i) => {
    const at = (block: number) => Math.round((block * devices.length) / count);
    return devices.slice(at(i), at(i + 1));
  });
}

/** Runs of so many devices one after the other; a rest that is too short is left out. */
function runsOf(devices: readonly Device[], length: number): readonly (readonly Device[])[] {
  return Array.from({ length: Math.floor(devices.length / length) }, (_, i) =>
    devices.slice(i * length, (i + 1) * length),
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
