import {
  asStored,
  faultIn,
  faultOf,
  originOf,
  startValues,
  steps,
  type Fault,
  type Node,
  type Reference,
  type Step,
} from '../../graph/index.js';
import { describeValue, jsonNumber, type Described, type JsonNumber } from './describe.js';
import type { JobStep } from './job-step.js';
import { nodesNamed, valuesNamed } from './names.js';

export const PHASES = ['forward', 'backward', 'all'] as const;
export type Phase = (typeof PHASES)[number];

/** What a debugging run is asked to do. */
export interface DebugOptions {
  /** `forward` computes nothing of the backward pass; `backward` computes all and looks at that alone. */
  readonly phase: Phase;
  /** Patterns of nodes to stop at. */
  readonly breaks: readonly string[];
  readonly breakOnNan: boolean;
  /** Whether to stop at the first node of the phase, too. */
  readonly breakFirst: boolean;
  /** Patterns of values to report. */
  readonly prints: readonly string[];
  /** Whether results stay in float64 instead of being rounded to their element type. */
  readonly exact: boolean;
}

/** A node as a report names it. */
export interface NodeReport {
  readonly name: string;
  readonly operator: string;
  readonly phase: 'forward' | 'backward';
  /** The model's node that it was written for, where known. */
  readonly of: string | null;
}

/** The first NaN or infinity, and what it was made of. */
export interface FaultReport extends Fault {
  /** Null where it was given: in the data or the parameters. */
  readonly node: NodeReport | null;
  readonly inputs: readonly Described[];
  readonly outputs: readonly Described[];
}

export interface DebugReport {
  readonly step: number;
  readonly samples: number;
  readonly batch: number;
  readonly phase: Phase;
  readonly exact: boolean;
  /** Whether the run went to its end. */
  readonly finished: boolean;
  /** Null where it was not computed. */
  readonly loss: JsonNumber | null;
  /** Nodes that were computed, of the phase looked at. */
  readonly nodes: readonly NodeReport[];
  /** Names of the nodes at which the run stood still. */
  readonly stops: readonly string[];
  readonly printed: readonly Described[];
  readonly fault: FaultReport | null;
}

/** Where a run stands still. */
export interface Stop {
  readonly step: Step;
  readonly node: NodeReport;
  readonly reason: 'break' | 'step' | 'fault';
  readonly fault?: FaultReport;
  /** How many nodes run in all. */
  readonly total: number;
  /** Everything known so far, by name. */
  readonly known: ReadonlyMap<string, Reference>;
  /** One more pattern to stop at. @returns how many nodes it names @throws UnknownNameError */
  readonly breakAt: (pattern: string) => number;
}

/** Who watches a run: a prompt, an inspector, a printer. */
export interface Observer {
  /** Called at each stop; the run goes on with what it answers. */
  stop(stop: Stop): Promise<Onward>;
  /** A value that was asked for is known. */
  printed?(value: Described): void;
  /** Called after each node: may give way to others. */
  passed?(done: number, total: number, node: NodeReport): Promise<void>;
}

export type Onward = 'continue' | 'step' | 'quit';

/** The values of a run, and its report. */
export interface DebugRun {
  readonly report: DebugReport;
  readonly known: ReadonlyMap<string, Reference>;
  /** Nodes that were computed, in order. */
  readonly computed: readonly Node[];
}

/**
 * Computes a step node by node in this thread and tells an observer of what it was asked to stop at.
 * @throws UnknownNameError before anything is computed, for a pattern that names nothing
 */
export async function debugStep(job: JobStep, options: DebugOptions, observer: Observer): Promise<DebugRun> {
  const { training, own, forward } = job;
  const { graph } = training;
  const phaseOf = (node: Node) => (forward.has(node) ? 'forward' : 'backward');
  const looksAt = (node: Node) => options.phase === 'all' || options.phase === phaseOf(node);
  const running = graph.nodes.filter((node) => options.phase !== 'forward' || forward.has(node));
  const seen = running.filter(looksAt);
  const breaks = new Set(options.breaks.flatMap((pattern) => nodesNamed(pattern, seen, own, '--break')));
  const wanted = new Set(
    options.prints.flatMap((pattern) => [...valuesNamed(pattern, graph, seen, own, '--print')]),
  );

  const known = startValues(graph, job.values);
  const printed: Described[] = [];
  const print = (name: string, value: Reference | undefined) => {
    if (!wanted.has(name) || !value) return;
    const described = describeValue({ name, value });
    printed.push(described);
    observer.printed?.(described);
  };
  for (const name of wanted) print(name, known.get(name));

  let fault = faultAtStart(job);
  const [nodes, stops, computed]: [NodeReport[], string[], Node[]] = [[], [], []];
  let [finished, stepping] = [!(fault && options.breakOnNan), options.breakFirst];
  const settle = options.exact ? {} : { settle: asStored };
  for (const step of finished ? steps({ nodes: running }, known, settle) : []) {
    const { name, operator } = step.node;
    const node: NodeReport = { name, operator, phase: phaseOf(step.node), of: originOf(name, own) ?? null };
    computed.push(step.node);
    const found = fault ? undefined : faultOf(step);
    if (found) fault = faultReport(found, node, step);
    if (looksAt(step.node)) {
      nodes.push(node);
      for (const output of step.outputs) print(output.name, output.value);
    }
    const reason = whyStop(step.node, found !== undefined);
    await observer.passed?.(step.index + 1, running.length, node);
    if (reason === undefined) continue;
    stops.push(name);
    const stop: Stop = { step, node, reason, total: running.length, known, breakAt };
    const onward = await observer.stop(found && fault ? { ...stop, fault } : stop);
    if (onward === 'quit') {
      finished = false;
      break;
    }
    stepping = onward === 'step';
  }
  const loss = known.get(training.loss)?.data[0];
  const { step, samples, batch } = job;
  const report: DebugReport = {
    ...{ step, samples, batch, phase: options.phase, exact: options.exact, finished },
    loss: loss === undefined ? null : jsonNumber(loss),
    ...{ nodes, stops, printed, fault: fault ?? null },
  };
  return { report, known, computed };

  function breakAt(pattern: string): number {
    const more = nodesNamed(pattern, seen, own, 'break');
    for (const each of more) breaks.add(each);
    return more.length;
  }

  function whyStop(node: Node, isFault: boolean): Stop['reason'] | undefined {
    if (isFault && options.breakOnNan) return 'fault';
    if (breaks.has(node)) return 'break';
    return stepping && looksAt(node) ? 'step' : undefined;
  }
}

function faultAtStart({ values }: JobStep): FaultReport | undefined {
  for (const [name, value] of values) {
    const found = faultIn({ name, value });
    if (found) return { ...found, node: null, inputs: [], outputs: [describeValue({ name, value })] };
  }
  return undefined;
}

function faultReport(found: Fault, node: NodeReport, { inputs, outputs }: Step): FaultReport {
  return { ...found, node, inputs: inputs.map(describeValue), outputs: outputs.map(describeValue) };
}
