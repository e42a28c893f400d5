import { closest, matchesGlob } from '../../base/index.js';
import type { OptimizerConfig } from './optimizer.js';
import { ParameterNameError } from './errors.js';
import { patternsIn } from './pattern.js';

/**
 * The parameters that `frozen` of a job names.
 * @param names of all parameters of the model
 * @throws ParameterNameError for a pattern that fits none, naming the closest; when nothing would be left to train
 */
export function frozenParameters(
  frozen: string | readonly string[],
  names: readonly string[],
): ReadonlySet<string> {
  const found = named(patternsIn(frozen), names, 'frozen');
  if (names.length > 0 && found.size === names.length) {
    throw new ParameterNameError(
      `frozen: all ${names.length} parameters of the model are frozen; leave some to train, such as the last layer's`,
      { ids: { field: 'frozen' } },
    );
  }
  return found;
}

/**
 * For each parameter the group of `optimizer.groups` that it is in: the first that fits, from 0; those in none are
 * not in the map.
 * @param names of all parameters of the model
 * @throws ParameterNameError for a pattern that fits none, naming the closest; for a group of which every parameter
 *   is in an earlier one
 */
export function parameterGroups(
  optimizer: Pick<OptimizerConfig, 'groups'>,
  names: readonly string[],
): ReadonlyMap<string, number> {
  const groups = new Map<string, number>();
  optimizer.groups?.forEach(({ parameters }, index) => {
    const field = `optimizer.groups.${index}.parameters`;
    const before = groups.size;
    for (const name of named(patternsIn(parameters), names, field)) {
      if (!groups.has(name)) groups.set(name, index);
    }
    if (groups.size === before) {
      throw new ParameterNameError(
        `${field}: every parameter that fits is in an earlier group, and the first that fits counts; ` +
          'put this group before them, or leave it out',
        { ids: { field } },
      );
    }
  });
  return groups;
}

function named(patterns: readonly string[], names: readonly string[], field: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const fitting = names.filter((name) => matchesGlob(pattern, name));
    if (fitting.length === 0) {
      const near = closest(pattern, names).map((name) => `"${name}"`);
      throw new ParameterNameError(
        `${field}: "${pattern}" fits no parameter of the model; the closest are ${near.join(', ')}`,
        { ids: { field, pattern } },
      );
    }
    for (const name of fitting) found.add(name);
  }
  return found;
}
