import { closest, matchesGlob } from '../../base/index.js';
import type { Graph } from '../ir/graph.js';
import { formatType, sameShape, type TensorType } from '../ir/tensor.js';
import { WeightsError } from './errors.js';
import { SafetensorsFile } from './file.js';
import type { Entry } from './header.js';

/** How the names of a weights file go with those of a model, and what may be left out. */
export interface MatchRules {
  /** Beginnings of names in the file and what stands in the model instead; the longest that fits, once. */
  readonly rename: readonly (readonly [from: string, to: string])[];
  /** Patterns of the model's names that keep the model's values; tensors of the file with such names are left out. */
  readonly skip: readonly string[];
  /** Whether parameters that the file lacks keep the model's values. */
  readonly allowMissing: boolean;
  /** Whether tensors of the file that the model lacks are left out. */
  readonly allowUnexpected: boolean;
}

/** A tensor of the file and the parameter or constant of the model that takes its values. */
export interface Match {
  readonly entry: Entry;
  readonly name: string;
}

/** Names that a message lists of each kind of misfit. */
const SHOWN = 5;

/**
 * Finds for every parameter of a model its tensor in a weights file, by name. Constants that the file has are taken
 * too (running statistics and other buffers of a state dict): float32 ones; others are left as they are, and so are
 * PyTorch's counters of batches.
 *
 * Guarantees: whatever is matched has the shape of its place and a float type; no two tensors have one place.
 * @throws WeightsError listing what is missing, unexpected, of another shape or type, each with the closest names
 */
export function matchWeights(
  graph: Graph,
  entries: readonly Entry[],
  rules: MatchRules,
  source: string,
): readonly Match[] {
  const skipped = (name: string) => rules.skip.some((pattern) => matchesGlob(pattern, name));
  const aliases = identities(graph);
  const constants = new Map(graph.constants);
  for (const [alias, original] of aliases) {
    const tensor = graph.constants.get(original);
    if (tensor) constants.set(alias, tensor);
  }
  const tensors = renamed(entries, rules, source);
  checkPatterns(rules.skip, [...graph.parameters.keys(), ...constants.keys(), ...tensors.keys()], source);

  const matches: Match[] = [];
  const unexpected: string[] = [];
  const unfit: string[] = [];
  for (const [name, entry] of tensors) {
    if (skipped(name)) continue;
    const place = graph.parameters.get(name) ?? constants.get(name);
    if (!place) {
      if (!isCounter(entry)) unexpected.push(name);
    } else if (graph.parameters.has(name) || place.dtype === 'float32') {
      const why = misfit(entry, place);
      if (why === undefined) matches.push({ entry, name });
      else unfit.push(`"${name}" ${why}`);
    }
  }
  const missing = [...graph.parameters.keys()].filter((name) => !tensors.has(name) && !skipped(name));
  const problems = [
    ...(rules.allowMissing
      ? []
      : listed(
          'missing from the file',
          missing,
          withClosest(unexpected.length > 0 ? unexpected : [...tensors.keys()]),
        )),
    ...(rules.allowUnexpected
      ? []
      : listed('unexpected in the file', unexpected, (name) => {
          const original = aliases.get(name);
          return original === undefined
            ? withClosest([...graph.parameters.keys()])(name)
            : `"${name}" (in the model one tensor with "${original}")`;
        })),
    ...listed('unlike those of the model', unfit, (text) => text),
  ];
  if (problems.length === 0 && matches.length > 0) return matches;
  const what =
    problems.length > 0 ? problems.join('; ') : 'no tensor of the file has the name of a parameter';
  throw new WeightsError(
    `${source}: it does not fit the model: ${what}. ` +
      'Names go by rename, skip keeps the values of the model, allowMissing and allowUnexpected let the rest pass',
    { ids: { missing, unexpected, unfit } },
  );
}

/** By the names that the model would have for them. */
function renamed(
  entries: readonly Entry[],
  { rename }: MatchRules,
  source: string,
): ReadonlyMap<string, Entry> {
  const longestFirst = [...rename].sort(([a], [b]) => b.length - a.length);
  const tensors = new Map<string, Entry>();
  for (const entry of entries) {
    const rule = longestFirst.find(([from]) => entry.name.startsWith(from));
    const name = rule ? rule[1] + entry.name.slice(rule[0].length) : entry.name;
    const other = tensors.get(name);
    if (other) {
      throw new WeightsError(
        `${source}: rename makes "${name}" of both "${other.name}" and "${entry.name}"; a name has one tensor`,
      );
    }
    tensors.set(name, entry);
  }
  const idle = rename.find(([from]) => !entries.some(({ name }) => name.startsWith(from)));
  if (idle) {
    const near = closest(
      idle[0],
      entries.map(({ name }) => name),
    ).map((name) => `"${name}"`);
    throw new WeightsError(
      `${source}: rename: no name in the file begins with "${idle[0]}"; the closest are ${near.join(', ')}`,
    );
  }
  return tensors;
}

function checkPatterns(patterns: readonly string[], names: readonly string[], source: string): void {
  const idle = patterns.find((pattern) => !names.some((name) => matchesGlob(pattern, name)));
  if (idle === undefined) return;
  const near = closest(idle, names).map((name) => `"${name}"`);
  throw new WeightsError(
    `${source}: skip: "${idle}" fits no name of the model or the file; the closest are ${near.join(', ')}`,
  );
}

/** Names that the exporter gave to an earlier tensor once more, and that tensor's own. */
function identities(graph: Graph): ReadonlyMap<string, string> {
  const aliases = new Map<string, string>();
  for (const { operator, domain, inputs, outputs } of graph.nodes) {
    if (operator !== 'Identity' || domain !== '') continue;
    const original = aliases.get(inputs[0]!) ?? inputs[0]!;
    if (graph.parameters.has(original) || graph.constants.has(original)) aliases.set(outputs[0]!, original);
  }
  return aliases;
}

/** `num_batches_tracked` of PyTorch's BatchNorm: nothing depends on it unless its momentum is None. */
function isCounter({ name, dtype }: Entry): boolean {
  return /(^|\.)num_batches_tracked$/.test(name) && dtype.includes('int');
}

function misfit(entry: Entry, place: TensorType): string | undefined {
  if (sameShape(entry.shape, place.shape) && SafetensorsFile.readable(entry.dtype)) return undefined;
  return `is ${formatType(entry)} in the file and ${formatType(place)} in the model`;
}

function withClosest(names: readonly string[]): (name: string) => string {
  return (name) => {
    const [near] = closest(name, names, 1);
    return near === undefined ? `"${name}"` : `"${name}" (closest: "${near}")`;
  };
}

function listed(what: string, names: readonly string[], show: (name: string) => string): string[] {
  if (names.length === 0) return [];
  const more = names.length > SHOWN ? `, and ${names.length - SHOWN} more` : '';
  return [`${names.length} ${what}: ${names.slice(0, SHOWN).map(show).join(', ')}${more}`];
}
