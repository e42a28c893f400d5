import type { Seconds } from '../../base/index.js';
import { transferSeconds } from './cost.js';
import { Choices } from './choices.js';
import type { Family, FamilyNode } from './family.js';
import type { Cut } from './layers.js';
import type { Group } from './group.js';
import type { Choice, Slicing, StageModel, StageOptions } from './stage.js';

/** What a search over pipelines is for. */
export interface ChainSearch {
  readonly model: StageModel;
  readonly family: Family;
  readonly slicing: Slicing;
  readonly options: StageOptions;
  /** Stages a pipeline may have. */
  readonly least: number;
  readonly most: number;
  /** Micro-batches in flight on the k-th stage from the end, the last being 1. */
  readonly inFlight: (fromEnd: number) => number;
  /** Whether the last stage computes forward and backward in one program. */
  readonly joined: boolean;
  /** Only what takes less is of interest. */
  readonly below: Seconds;
  /** Whether to end with what was found, if anything was. */
  readonly spent: (found: boolean) => boolean;
}

export interface Chain {
  readonly seconds: Seconds;
  /** First stage first. */
  readonly choices: readonly Choice[];
}

/** A pipeline's end: stages from some unit to the last. */
interface Tail {
  readonly sum: Seconds;
  readonly longest: Seconds;
  readonly after: Seconds;
  readonly choice: Choice;
  readonly next: Tail | undefined;
}

/**
 * Seconds of a pipeline in which every micro-batch takes `sum` through all stages and back, and follows the one before
 * by `longest`; `after` is what the slowest stage does when the pipeline has run dry. Reached where stages are equal; as
 * a rule the simulator says less, for messages travel while stages compute, and at worst a tenth more, where messages that
 * take longer than computing wait for each other (property test).
 */
export function pipelineSeconds(
  microBatches: number,
  { sum, longest, after }: Pick<Tail, 'sum' | 'longest' | 'after'>,
): Seconds {
  return sum + (microBatches - 1) * longest + after;
}

/**
 * The fastest 1F1B pipeline among the paths of a family and all cuts, by `pipelineSeconds`: exact.
 *
 * Dynamic programming from the last stage to the first over (first unit, node of the family, number of stages), keeping
 * what is not worse in all of sum, longest and after. O(stages x edges x units^2 x kept), kept being a handful;
 * a stage that alone would take longer than the best plan so far ends its loop.
 */
export function bestChain(search: ChainSearch): Chain | undefined {
  const { model, family, slicing, options, least, most } = search;
  const units = model.layers.units.length;
  const { microBatches } = slicing;
  let best: Tail | undefined;
  let bestSeconds = search.below;
  const links = new Map<number, number>();
  const crossing = (from: Group, to: Group, unit: number) => {
    const key = (from.index * family.groups.length + to.index) * units + unit;
    const known = links.get(key);
    if (known !== undefined) return known;
    const seconds = crossingSeconds(model, from, to, model.layers.cuts[unit - 1]!, slicing.samples);
    links.set(key, seconds);
    return seconds;
  };
  const complete = (tail: Tail, depth: number) => {
    const seconds = pipelineSeconds(microBatches, tail);
    if (seconds < bestSeconds && depth >= least) [best, bestSeconds] = [tail, seconds];
  };
  /** Whether the units before can still be added, which take `rest` at least, and the whole be faster than the best. */
  const promising = (sum: Seconds, longest: Seconds, after: Seconds, rest: Seconds) =>
    sum + rest + (microBatches - 1) * Math.max(longest, rest) + after < bestSeconds;
  const restOf = (unit: number, node: FamilyNode) =>
    model.groups.leastSeconds(0, unit, slicing.samples, node.ahead);

  let layer: Tail[][][] = family.nodes.map(() => []);
  for (const node of family.last) {
    const group = family.groups[family.nodes[node]!.group]!;
    for (let from = units - 1; from >= 0; from--) {
      const stages = [{ from, to: units, inFlight: search.inFlight(1), joined: search.joined }];
      const choice = model.choose(group, stages, slicing, from === 0, options);
      if (!choice) continue;
      const tail = {
        sum: choice.seconds,
        longest: choice.seconds,
        after: choice.after,
        choice,
        next: undefined,
      };
      if (from === 0) complete(tail, 1);
      else if (most > 1) keep((layer[node]![from] ??= []), tail);
    }
  }
  const choices = new Choices(search);
  for (let depth = 2; depth <= most; depth++) {
    choices.holding(search.inFlight(depth));
    const earlier: Tail[][][] = family.nodes.map(() => []);
    layer.forEach((byUnit, node) => {
      const after = family.nodes[node]!;
      if (search.spent(best !== undefined)) return;
      byUnit.forEach((partials, unit) => {
        const left = restOf(unit, after);
        const hopeful = partials.filter((tail) => promising(tail.sum, tail.longest, tail.after, left));
        if (hopeful.length === 0) return;
        const least = leastOf(hopeful);
        for (const before of after.before) {
          const earlierNode = family.nodes[before]!;
          const group = family.groups[earlierNode.group]!;
          const transfer = crossing(group, family.groups[after.group]!, unit);
          for (let from = depth < most ? unit - 1 : 0; from >= 0; from--) {
            const shared = model.groups.leastSeconds(from, unit, slicing.samples, group.speed);
            // longer stages take longer, and need more memory
            if (microBatches * (transfer + shared) >= bestSeconds || choices.full(group, from, unit)) break;
            const atLeast = transfer + Math.max(shared, choices.atLeast(group, from, unit));
            const rest = from === 0 ? 0 : restOf(from, earlierNode);
            const hope = [least.sum + atLeast, Math.max(least.longest, atLeast)] as const;
            if (!promising(...hope, least.after, rest)) continue;
            const choice = choices.of(group, from, unit);
            if (!choice) continue;
            const seconds = choice.seconds + transfer;
            for (const next of hopeful) {
              const sum = next.sum + seconds;
              const longest = Math.max(next.longest, seconds);
              const last = Math.max(next.after, choice.after);
              if (!promising(sum, longest, last, rest)) continue;
              const tail = { sum, longest, after: last, choice, next };
              if (from === 0) complete(tail, depth);
              else keep((earlier[before]![from] ??= []), tail);
            }
          }
        }
      });
    });
    layer = earlier;
  }
  return best && { seconds: bestSeconds, choices: choicesOf(best) };
}

/** Both ways over a cut: activations, later their gradients, from all replicas of a stage to those of the next at once. */
export function crossingSeconds(
  model: StageModel,
  from: Group,
  to: Group,
  cut: Cut,
  samples: number,
): Seconds {
  const link = model.groups.linkAcross(from, to);
  const each = Math.ceil(samples / Math.min(from.size, to.size));
  return (
    transferSeconds(link, each * cut.activationBytesPerSample) +
    transferSeconds(link, each * cut.gradientBytesPerSample)
  );
}

function choicesOf(first: Tail): readonly Choice[] {
  const choices: Choice[] = [];
  for (let at: Tail | undefined = first; at; at = at.next) choices.push(at.choice);
  return choices;
}

/** Adds a partial plan unless one is there that is nowhere worse, and drops those that it is nowhere worse than. */
function keep(partials: Tail[], added: Tail): void {
  const covers = (a: Tail, b: Tail) => a.sum <= b.sum && a.longest <= b.longest && a.after <= b.after;
  if (partials.some((each) => covers(each, added))) return;
  let kept = 0;
  for (const each of partials) if (!covers(added, each)) partials[kept++] = each;
  partials.length = kept;
  partials.push(added);
}

/** The least of each figure of several partial plans: none of them is anywhere below it. */
function leastOf(tails: readonly Tail[]): Pick<Tail, 'sum' | 'longest' | 'after'> {
  let [sum, longest, after] = [Infinity, Infinity, Infinity];
  for (const tail of tails) {
    sum = Math.min(sum, tail.sum);
    longest = Math.min(longest, tail.longest);
    after = Math.min(after, tail.after);
  }
  return { sum, longest, after };
}
