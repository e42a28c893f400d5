import type { Bytes, Flops } from '../../base/index.js';
import type { Linear } from '../profile.js';

/** A model as the planner sees it: what each unit computes and holds, and what crosses between them. */
export interface LayerProfile {
  /** In the model's topological order; a unit is never cut. */
  readonly units: readonly Unit[];
  /** Cut i lies between unit i and i + 1: one entry less than there are units. */
  readonly cuts: readonly Cut[];
  /** Parameters used in several units: every stage that uses one holds a copy, and their gradients are summed. */
  readonly tied: readonly { readonly parameter: string; readonly units: readonly number[] }[];
  /** Of the step of the whole model as one program, which is what a plan of one stage runs. */
  readonly fused: FusedBytes;
  /** The first node of the step that has each operator; profiles of earlier versions have none. */
  readonly examples?: Readonly<Record<string, string>>;
}

/** What a training step of the whole model holds, forward and backward pass together. */
export interface FusedBytes {
  /** Peak of the values that the engine holds at once, over the step's segments. */
  readonly activationBytes: Linear;
  /** Values that go from one segment of the step to a later one. */
  readonly crossingBytes: Linear;
}

export interface Unit {
  /** ONNX node names. */
  readonly nodes: readonly string[];
  readonly parameters: readonly UnitParameter[];
  readonly forward: Work;
  readonly backwardInput: Work;
  readonly backwardWeight: Work;
  /** Bytes a sample that the backward pass needs of the forward pass: what it left, and what went into it. */
  readonly savedBytesPerSample: Bytes;
  /** The part of them that went into it: data, or values of units before. */
  readonly rereadBytesPerSample: Bytes;
  /** What the half of the backward pass for the inputs leaves for the other, where they are apart; default: nothing. */
  readonly betweenBytesPerSample?: Bytes;
  /** Most bytes a sample that the forward pass holds within the engine, beside what it takes and gives. */
  readonly forwardBytesPerSample: Bytes;
  /** Likewise of the backward pass; the larger half where it is cut in two. */
  readonly backwardBytesPerSample: Bytes;
  /** Operators of its programs, forward and backward; profiles of earlier versions do not tell. */
  readonly operators?: readonly string[];
  /** The largest of its values that are as large with however many samples, and of those that grow with them. */
  readonly largest?: { readonly fixed?: ValueBytes; readonly growing?: ValueBytes };
}

/** A value of a program: base + perSample x samples bytes. */
export interface ValueBytes {
  readonly value: string;
  readonly base: Bytes;
  readonly perSample: Bytes;
}

export interface UnitParameter {
  readonly name: string;
  readonly bytes: Bytes;
  readonly trained: boolean;
}

export interface Work {
  /** Operations of matrix products and convolutions, per sample. */
  readonly productFlops: Flops;
  /** Those among them that belong to convolutions; default: none. */
  readonly convolutionFlops?: Flops;
  /** Bytes that other operators read and write, per sample. */
  readonly movedBytes: Bytes;
  /**
   * Bytes read and written per micro-batch, however few samples it has: weights that products take in, gradients that
   * leave the engine. Default: none.
   */
  readonly fixedBytes?: Bytes;
  /** Operators launched, per micro-batch. */
  readonly launches: number;
}

/** What crosses a cut: everything made before it and used after it, skip connections included. */
export interface Cut {
  readonly activationBytesPerSample: Bytes;
  readonly gradientBytesPerSample: Bytes;
}

/** Units [from, to). */
export interface UnitRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Merges neighbouring units until at most `most` are left, the lightest pair first; work here is
 * operations and, at a tenth, moved and parameter bytes. Depends on the model alone, never on devices, so that all
 * clusters choose among the same cuts. O(units^2).
 * @returns the ranges of the original units
 */
export function mergeUnits({ units }: LayerProfile, most: number): readonly UnitRange[] {
  const weigh = (unit: Unit) => {
    const works = [unit.forward, unit.backwardInput, unit.backwardWeight];
    const computed = works.reduce((sum, work) => sum + work.productFlops + 10 * work.movedBytes, 0);
    return computed + unit.parameters.reduce((sum, each) => sum + each.bytes, 0);
  };
  const ranges = units.map((unit, i) => ({ from: i, to: i + 1, weight: weigh(unit) }));
  while (ranges.length > Math.max(1, most)) {
    let lightest = 0;
    for (let i = 1; i + 1 < ranges.length; i++) {
      if (pair(ranges, i) < pair(ranges, lightest)) lightest = i;
    }
    const [a, b] = [ranges[lightest]!, ranges[lightest + 1]!];
    ranges.splice(lightest, 2, { from: a.from, to: b.to, weight: a.weight + b.weight });
  }
  return ranges.map(({ from, to }) => ({ from, to }));
}

function pair(ranges: readonly { readonly weight: number }[], i: number): number {
  return ranges[i]!.weight + ranges[i + 1]!.weight;
}

/**
 * The profile whose units are the given ranges of another's: works and saved bytes add up, of working memory the
 * most counts, and a tied parameter that a range uses several times is there once. O(units).
 */
export function merged(layers: LayerProfile, ranges: readonly UnitRange[]): LayerProfile {
  const home = ranges.flatMap(({ from, to }, i) => new Array<number>(to - from).fill(i));
  return {
    units: ranges.map(({ from, to }) => layers.units.slice(from, to).reduce(joined)),
    fused: layers.fused,
    ...(layers.examples && { examples: layers.examples }),
    cuts: ranges.slice(0, -1).map(({ to }) => layers.cuts[to - 1]!),
    tied: layers.tied.map(({ parameter, units }) => ({
      parameter,
      units: [...new Set(units.map((unit) => home[unit]!))],
    })),
  };
}

function joined(a: Unit, b: Unit): Unit {
  const known = new Set(a.parameters.map(({ name }) => name));
  return {
    nodes: [...a.nodes, ...b.nodes],
    parameters: [...a.parameters, ...b.parameters.filter(({ name }) => !known.has(name))],
    forward: added(a.forward, b.forward),
    backwardInput: added(a.backwardInput, b.backwardInput),
    backwardWeight: added(a.backwardWeight, b.backwardWeight),
    savedBytesPerSample: a.savedBytesPerSample + b.savedBytesPerSample,
    rereadBytesPerSample: a.rereadBytesPerSample,
    betweenBytesPerSample: (a.betweenBytesPerSample ?? 0) + (b.betweenBytesPerSample ?? 0),
    forwardBytesPerSample: Math.max(a.forwardBytesPerSample, b.forwardBytesPerSample),
    backwardBytesPerSample: Math.max(a.backwardBytesPerSample, b.backwardBytesPerSample),
    ...(a.operators || b.operators
      ? { operators: [...new Set([...(a.operators ?? []), ...(b.operators ?? [])])] }
      : {}),
    ...(a.largest || b.largest ? { largest: largestOf(a.largest, b.largest) } : {}),
  };
}

type Largest = NonNullable<Unit['largest']>;

function largestOf(a: Largest = {}, b: Largest = {}): Largest {
  const fixed = larger(a.fixed, b.fixed, ({ base }) => base);
  const growing = larger(a.growing, b.growing, ({ perSample }) => perSample);
  return { ...(fixed && { fixed }), ...(growing && { growing }) };
}

/** Of two values that may be missing. */
function larger<T>(a: T | undefined, b: T | undefined, by: (value: T) => number): T | undefined {
  return a && b ? (by(b) > by(a) ? b : a) : (a ?? b);
}

function added(a: Work, b: Work): Work {
  return {
    productFlops: a.productFlops + b.productFlops,
    convolutionFlops: (a.convolutionFlops ?? 0) + (b.convolutionFlops ?? 0),
    movedBytes: a.movedBytes + b.movedBytes,
    fixedBytes: (a.fixedBytes ?? 0) + (b.fixedBytes ?? 0),
    launches: a.launches + b.launches,
  };
}
