import { stringAttribute } from '../../ir/graph.js';
import { padSources } from '../../operators/pad.js';
import type { GradientContext, RuleTable } from '../context.js';

/**
 * Crops what was added around, and folds what was copied (edge, reflect, wrap) back onto the elements it came from.
 * A fill value that is not a constant takes the gradient of all that it filled.
 */
function pad(g: GradientContext): (string | undefined)[] {
  const isConstant = stringAttribute(g.node, 'mode', 'constant') === 'constant';
  return [
    g.needs(0) ? inputGradient(g) : undefined,
    undefined,
    isConstant && g.hasInput(2) && g.needs(2) ? fillGradient(g) : undefined,
    undefined,
  ];
}

function inputGradient(g: GradientContext): string {
  const shape = g.shapeOf(g.x);
  const axes = padSources(g.node, shape, g.numbersOf(1) ?? [], g.numbersOf(3)).map(runsOf);
  if (axes.some((runs) => runs.length === 0)) return g.zeros(g.typeOf(g.x));
  /** The one stretch of an axis without copies, which is cropped. */
  const only = axes.map((runs) => (runs.length === 1 && runs[0]!.step === 1 ? runs[0] : undefined));
  const cropped = g.slice(
    g.dy,
    only.flatMap((run, axis) => (run ? [{ axis, start: run.start, end: run.start + run.length }] : [])),
  );
  const folded = axes.reduce(
    (dx, runs, axis) => (only[axis] ? dx : foldAxis(g, dx, axis, runs, shape[axis]!)),
    cropped,
  );
  const before = only.map((run) => run?.low ?? 0);
  const after = only.map((run, axis) => (run ? shape[axis]! - run.high : 0));
  return g.pad(folded, before, after);
}

/** dx along one axis, `length` long: elements that were copied several times add up. */
function foldAxis(
  g: GradientContext,
  dy: string,
  axis: number,
  runs: readonly Run[],
  length: number,
): string {
  const bounds = runs.flatMap(({ low, high }) => [low, high]);
  const cuts = [...new Set([0, ...bounds, length])].sort((a, b) => a - b);
  const pieces = cuts.slice(1).map((high, i) => {
    const low = cuts[i]!;
    const parts = runs
      .filter((run) => run.low <= low && high <= run.high)
      .map((run) => partOf(g, dy, axis, run, low, high));
    if (parts.length > 0) return parts.reduce((sum, part) => g.add(sum, part));
    return g.zeros({ dtype: g.typeOf(dy).dtype, shape: g.shapeOf(dy).with(axis, high - low) });
  });
  return g.concat(pieces, axis);
}

/** A stretch of the output that reads the input's elements [low, high) forwards, backwards, or one of them all along. */
interface Run {
  readonly start: number;
  readonly length: number;
  readonly low: number;
  readonly high: number;
  readonly step: -1 | 0 | 1;
}

/** The stretches of an axis; what reads the fill value is in none. */
function runsOf(places: readonly number[]): Run[] {
  const runs: Run[] = [];
  let start = 0;
  while (start < places.length) {
    const from = places[start]!;
    let end = start + 1;
    if (from >= 0) {
      const step = stepBetween(from, places[end]);
      while (end < places.length && places[end]! >= 0 && places[end]! - places[end - 1]! === step) end++;
      const last = places[end - 1]!;
      runs.push({
        start,
        length: end - start,
        low: Math.min(from, last),
        high: Math.max(from, last) + 1,
        step: end - start === 1 ? 1 : step,
      });
    }
    start = end;
  }
  return runs;
}

function stepBetween(from: number, to: number | undefined): -1 | 0 | 1 {
  return to === from ? 0 : to === from - 1 ? -1 : 1;
}

/** What a stretch adds to the input's elements [low, high). */
function partOf(g: GradientContext, dy: string, axis: number, run: Run, low: number, high: number): string {
  const { start, length } = run;
  if (run.step === 0) return g.sum(g.slice(dy, [{ axis, start, end: start + length }]), [axis]);
  if (run.step === 1)
    return g.slice(dy, [{ axis, start: start + low - run.low, end: start + high - run.low }]);
  const first = start + run.high - high;
  const part = g.slice(dy, [{ axis, start: first, end: first + high - low }]);
  return g.reverse(part, [axis]);
}

/** The sum over all that is no copy of the input. */
function fillGradient(g: GradientContext): string {
  const { dtype } = g.typeOf(g.x);
  const rest = g.node.inputs.slice(3);
  const inputs = [g.zeros(g.typeOf(g.x)), g.input(1), g.scalar(1, dtype), ...rest];
  const filled = g.mul(g.dy, g.one('Pad', inputs));
  const axes = g.shapeOf(g.dy).map((_, axis) => axis);
  return g.reshape(g.sum(filled, axes, false), g.shapeOf(g.input(2)));
}

export const padRules: RuleTable = { Pad: pad };
