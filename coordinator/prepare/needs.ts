import { bytesPerElement, sizeOf, type StageGraphs, type TypedGraph } from '../../graph/index.js';
import { atomsOf } from '../../graph/passes/index.js';
import type { Unit, ValueBytes } from '../../scheduler/index.js';

/** On a device an element takes at least so much: engines there hold bool and small integers as words. */
const LEAST_ELEMENT_BYTES = 4;

/** What a device has to be able to do for a unit. */
export type UnitNeeds = Required<Pick<Unit, 'operators' | 'largest'>>;

/** One unit built for two counts of samples, the smaller first. */
export interface Twice {
  readonly samples: readonly [number, number];
  readonly stages: readonly [StageGraphs, StageGraphs];
}

/** Operators and largest values of a unit's programs. Pure; linear in its nodes. */
export function needsOf({ samples: [few, more], stages: [small, large] }: Twice): UnitNeeds {
  const programs = programsOf(small);
  const operators = new Set(programs.flatMap(({ nodes }) => nodes.map(operatorOf)));
  const sizes = sizesIn(programsOf(large));
  let fixed: ValueBytes | undefined;
  let growing: ValueBytes | undefined;
  for (const [value, bytes] of sizesIn(programs)) {
    // what only one of them has, as if it were a sample's: too much rather than too little
    const other = sizes.get(value) ?? (bytes * more) / few;
    const perSample = Math.max(0, other - bytes) / (more - few);
    const base = Math.max(0, bytes - perSample * few);
    if (perSample === 0 && base > (fixed?.base ?? 0)) fixed = { value, base, perSample };
    if (perSample > (growing?.perSample ?? 0)) growing = { value, base, perSample };
  }
  return {
    operators: [...operators].sort(),
    largest: { ...(fixed && { fixed }), ...(growing && { growing }) },
  };
}

/** The first node that has each operator, in the order of the units. */
export function examplesIn(stages: readonly StageGraphs[]): Readonly<Record<string, string>> {
  const examples: Record<string, string> = {};
  for (const { nodes } of stages.flatMap(programsOf)) {
    for (const node of nodes) examples[operatorOf(node)] ??= node.name;
  }
  return examples;
}

function operatorOf({ operator, domain }: TypedGraph['nodes'][number]): string {
  return domain === '' ? operator : `${domain}:${operator}`;
}

function programsOf({ forward, backward }: StageGraphs): readonly TypedGraph[] {
  return [forward, ...backward].flatMap((program) => (program ? [program] : []));
}

/** Bytes of what nodes need whole: a device that takes no value so large computes the rest in pieces. */
function sizesIn(programs: readonly TypedGraph[]): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const program of programs) {
    for (const { value, shape } of program.nodes.flatMap((node) => atomsOf(program, node))) {
      const { dtype } = program.types.get(value)!;
      const bytes = sizeOf(shape) * Math.max(LEAST_ELEMENT_BYTES, bytesPerElement(dtype));
      sizes.set(value, Math.max(bytes, sizes.get(value) ?? 0));
    }
  }
  return sizes;
}
