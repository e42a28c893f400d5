import { GraphBuilder, standardOperators, type TensorType, type TypedGraph } from '../../graph/index.js';
import { Formula } from '../../graph/formula/index.js';
import type { StepScalars } from './optimizer.js';
import { adamScalars, stateNames, type UpdateRule } from './rule.js';

/** A parameter of an update that a graph computes. */
export interface Updated {
  readonly type: TensorType;
  /** Index of its settings. */
  readonly group: number;
}

/** What an input or output of an update's graph stands for. */
export interface UpdateValue {
  /** Index of the parameter. */
  readonly parameter: number;
  readonly what: 'parameter' | 'gradient' | { readonly state: number };
}

/** An update as a graph, and what its values are by name. */
export interface UpdateGraph {
  readonly graph: TypedGraph;
  /** The values of parameters, read and written. */
  readonly values: ReadonlyMap<string, UpdateValue>;
  /** The scalars that change from step to step: which of a group's, in the order of `scalarsOf`. */
  readonly scalars: ReadonlyMap<string, { readonly group: number; readonly index: number }>;
}

/** Scalars of a group, at most. */
export const MOST_SCALARS = 4;

/** The scalars of one step as an update's graph takes them. */
export function scalarsOf(rule: UpdateRule, step: StepScalars): readonly number[] {
  if (rule.kind === 'sgd') return [step.gradientScale, step.learningRate];
  const { stepSize, correction, keep } = adamScalars(rule, step.learningRate, step.step);
  return [step.gradientScale, stepSize, correction, keep];
}

/**
 * One update of some parameters, written as a graph for engines that keep values on their device: the kernels' formulas,
 * operation by operation. Outputs are the new parameters, then their new states.
 */
export function updateGraph(rules: readonly UpdateRule[], parameters: readonly Updated[]): UpdateGraph {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const values = new Map<string, UpdateValue>();
  const scalars = new Map<string, { readonly group: number; readonly index: number }>();
  const outputs: string[] = [];
  const scalar = (group: number, index: number): string => {
    const name = `group ${group} scalar ${index}`;
    if (scalars.has(name)) return name;
    scalars.set(name, { group, index });
    return builder.input(name, { dtype: 'float32', shape: [] });
  };
  parameters.forEach(({ type: { shape }, group }, parameter) => {
    const rule = rules[group]!;
    const input = (what: UpdateValue['what'], label: string): string => {
      values.set(`${label} ${parameter}`, { parameter, what });
      return builder.input(`${label} ${parameter}`, { dtype: 'float32', shape });
    };
    const read: Read = {
      parameter: input('parameter', 'parameter'),
      gradient: input('gradient', 'gradient'),
      states: stateNames(rule).map((name, state) => input({ state }, name)),
      scalar: (index) => scalar(group, index),
    };
    const written = rule.kind === 'sgd' ? sgd(f, rule, read) : adam(f, rule, read);
    values.set(written.parameter, { parameter, what: 'parameter' });
    written.states.forEach((name, state) => values.set(name, { parameter, what: { state } }));
    outputs.push(written.parameter, ...written.states);
  });
  return { graph: builder.build('update', outputs), values, scalars };
}

interface Written {
  readonly parameter: string;
  readonly states: readonly string[];
}

interface Read extends Written {
  readonly gradient: string;
  readonly scalar: (index: number) => string;
}

function sgd(f: Formula, rule: Extract<UpdateRule, { kind: 'sgd' }>, read: Read): Written {
  const { momentum, nesterov, weightDecay } = rule;
  const [velocity] = read.states;
  let g = decayed(f, f.mul(read.gradient, read.scalar(0)), weightDecay, read.parameter);
  const states: string[] = [];
  if (velocity !== undefined) {
    const v = f.add(f.mul(velocity, momentum), g);
    states.push(v);
    g = nesterov ? f.add(g, f.mul(v, momentum)) : v;
  }
  return { parameter: f.sub(read.parameter, f.mul(g, read.scalar(1))), states };
}

function adam(f: Formula, rule: Extract<UpdateRule, { kind: 'adam' }>, read: Read): Written {
  const { beta1, beta2, eps, decoupled, weightDecay } = rule;
  const [mean, variance] = read.states as [string, string];
  const q = decoupled && weightDecay > 0 ? f.mul(read.parameter, read.scalar(3)) : read.parameter;
  const g = decayed(f, f.mul(read.gradient, read.scalar(0)), decoupled ? 0 : weightDecay, q);
  const m = f.add(f.mul(mean, beta1), f.mul(g, 1 - beta1));
  const v = f.add(f.mul(variance, beta2), f.mul(f.mul(g, g), 1 - beta2));
  const denominator = f.add(f.div(f.sqrt(v), read.scalar(2)), eps);
  return { parameter: f.sub(q, f.mul(f.div(m, denominator), read.scalar(1))), states: [m, v] };
}

function decayed(f: Formula, g: string, decay: number, parameter: string): string {
  return decay === 0 ? g : f.add(g, f.mul(parameter, decay));
}
