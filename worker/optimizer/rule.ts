import type { OptimizerConfig } from '../../protocol/index.js';
import { OptimizerError } from './errors.js';

/**
 * An update rule with every default filled in. Learning rates come with each step: see `schedule.ts`.
 *
 * - `sgd`: torch.optim.SGD with dampening 0. Its first step takes the gradient itself as velocity, which is what
 *   a velocity of zero gives: no special case, and the state starts as zeros.
 * - `adam`: torch.optim.Adam (L2 penalty in the gradient), or with `decoupled` torch.optim.AdamW; without amsgrad.
 */
export type UpdateRule =
  | {
      readonly kind: 'sgd';
      readonly momentum: number;
      readonly nesterov: boolean;
      readonly weightDecay: number;
    }
  | {
      readonly kind: 'adam';
      readonly beta1: number;
      readonly beta2: number;
      readonly eps: number;
      readonly weightDecay: number;
      readonly decoupled: boolean;
    };

/** Defaults are torch.optim's: AdamW decays by 0.01, the others by 0. @throws OptimizerError */
export function ruleOf(config: OptimizerConfig): UpdateRule {
  if (config.kind === 'sgd') {
    const { momentum = 0, nesterov = false, weightDecay = 0 } = config;
    if (nesterov && momentum === 0) {
      throw new OptimizerError('optimizer.nesterov needs a momentum above 0, for example momentum: 0.9');
    }
    return { kind: 'sgd', momentum, nesterov, weightDecay };
  }
  const { betas = [0.9, 0.999], eps = 1e-8 } = config;
  const decoupled = config.kind === 'adamw';
  const weightDecay = config.weightDecay ?? (decoupled ? 0.01 : 0);
  return { kind: 'adam', beta1: betas[0], beta2: betas[1], eps, weightDecay, decoupled };
}

/**
 * The names of the state that one element of a parameter needs, each a float32, all zero before the first step:
 * what a shard's checkpoint holds, and 4 bytes each in its budget.
 */
export function stateNames(rule: UpdateRule): readonly string[] {
  if (rule.kind === 'adam') return ['mean', 'variance'];
  return rule.momentum === 0 ? [] : ['velocity'];
}

/** Bytes of optimizer state for each element of a parameter. */
export function stateBytesPerElement(rule: UpdateRule): number {
  return 4 * stateNames(rule).length;
}

/** The scalars of one Adam step, in float64. @param step 1 for the first update */
export function adamScalars(
  rule: Extract<UpdateRule, { kind: 'adam' }>,
  learningRate: number,
  step: number,
): { readonly stepSize: number; readonly correction: number; readonly l2: number; readonly keep: number } {
  return {
    stepSize: learningRate / (1 - rule.beta1 ** step),
    correction: Math.sqrt(1 - rule.beta2 ** step),
    l2: rule.decoupled ? 0 : rule.weightDecay,
    keep: rule.decoupled ? 1 - learningRate * rule.weightDecay : 1,
  };
}
