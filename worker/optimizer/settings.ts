import { parameterGroups, type OptimizerConfig } from '../../protocol/index.js';
import { ruleOf, type UpdateRule } from './rule.js';

/** How some parameters are updated. */
export interface Settings {
  readonly rule: UpdateRule;
  /** Learning rate before the schedule's factor. */
  readonly lr: number;
}

/** The settings of a job, and who has which. */
export interface ParameterSettings {
  /** The first are the optimizer's own; no two are equal. All need the same state. */
  readonly settings: readonly Settings[];
  /** Index of a parameter's settings; 0 for a name that no group knows. */
  readonly indexOf: (name: string) => number;
}

/**
 * Resolves `optimizer` of a job with its groups.
 * @param names of all parameters of the model, the frozen ones too
 * @throws OptimizerError, ParameterNameError
 */
export function settingsOf(config: OptimizerConfig, names: readonly string[]): ParameterSettings {
  const settings: Settings[] = [{ rule: ruleOf(config), lr: config.lr }];
  const indices = (config.groups ?? []).map(({ parameters: _, ...own }) => {
    const wanted = { rule: ruleOf({ ...config, ...own }), lr: own.lr ?? config.lr };
    const same = settings.findIndex(
      ({ rule, lr }) => lr === wanted.lr && rule.weightDecay === wanted.rule.weightDecay,
    );
    return same < 0 ? settings.push(wanted) - 1 : same;
  });
  const groups = parameterGroups(config, names);
  return {
    settings,
    indexOf: (name) => {
      const group = groups.get(name);
      return group === undefined ? 0 : indices[group]!;
    },
  };
}
