import t, { type Test } from 'tap';
import { InvariantError } from '../../../base/index.js';
import {
  clipFactor,
  Optimizer,
  OptimizerError,
  ruleOf,
  stateBytesPerElement,
  stateNames,
  updateReference,
} from '../../../worker/optimizer/index.js';

const near = (t: Test, found: number, wanted: number) =>
  t.ok(Math.abs(found - wanted) < 1e-12 * Math.max(1, Math.abs(wanted)), `${found} is ${wanted}`);

void t.test("defaults are torch.optim's", (t) => {
  t.same(ruleOf({ kind: 'sgd', lr: 1 }), { kind: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 });
  const adam = { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8 };
  t.same(ruleOf({ kind: 'adam', lr: 1 }), { ...adam, weightDecay: 0, decoupled: false });
  t.same(ruleOf({ kind: 'adamw', lr: 1 }), { ...adam, weightDecay: 0.01, decoupled: true });
  t.same(ruleOf({ kind: 'adamw', lr: 1, betas: [0.5, 0.6], eps: 1, weightDecay: 0 }), {
    kind: 'adam',
    beta1: 0.5,
    beta2: 0.6,
    eps: 1,
    weightDecay: 0,
    decoupled: true,
  });
  t.throws(() => ruleOf({ kind: 'sgd', lr: 1, nesterov: true }), OptimizerError);
  t.end();
});

void t.test('state that budgets and checkpoints count', (t) => {
  const bytes = (config: Parameters<typeof ruleOf>[0]) => stateBytesPerElement(ruleOf(config));
  t.equal(bytes({ kind: 'sgd', lr: 1 }), 0);
  t.equal(bytes({ kind: 'sgd', lr: 1, momentum: 0.9 }), 4);
  t.equal(bytes({ kind: 'adamw', lr: 1 }), 8);
  t.same(stateNames(ruleOf({ kind: 'adam', lr: 1 })), ['mean', 'variance']);
  t.end();
});

void t.test('updates worked out by hand, in float64', (t) => {
  const run = (config: Parameters<typeof ruleOf>[0], gradients: readonly number[]) => {
    const rule = ruleOf(config);
    const p = Float64Array.of(1);
    const state = stateNames(rule).map(() => new Float64Array(1));
    gradients.forEach((g, i) => {
      updateReference(rule, p, Float64Array.of(g), state, {
        learningRate: config.lr,
        step: i + 1,
        gradientScale: 1,
      });
    });
    return p[0]!;
  };
  near(t, run({ kind: 'sgd', lr: 0.1 }, [2]), 0.8);
  near(t, run({ kind: 'sgd', lr: 0.1, weightDecay: 0.5 }, [2]), 0.75);
  // velocities 2 and 0.9 * 2 + 1 = 2.8
  near(t, run({ kind: 'sgd', lr: 0.1, momentum: 0.9 }, [2, 1]), 1 - 0.2 - 0.28);
  // with Nesterov the steps are 2 + 0.9 * 2 and 1 + 0.9 * 2.8
  near(t, run({ kind: 'sgd', lr: 0.1, momentum: 0.9, nesterov: true }, [2, 1]), 1 - 0.38 - 0.352);
  // the first Adam step is lr * g / (|g| + eps), whatever the betas
  near(t, run({ kind: 'adam', lr: 0.1, eps: 0.5 }, [2]), 1 - 0.2 / 2.5);
  near(t, run({ kind: 'adam', lr: 0.1, eps: 0.5, weightDecay: 1 }, [2]), 1 - 0.3 / 3.5);
  near(t, run({ kind: 'adamw', lr: 0.1, eps: 0.5, weightDecay: 1 }, [2]), 0.9 - 0.2 / 2.5);
  t.end();
});

void t.test('the norm is clipped as by torch', (t) => {
  t.equal(clipFactor(0.25, 1), 1);
  near(t, clipFactor(16, 1), 1 / (4 + 1e-6));
  t.equal(clipFactor(0, 1), 1);
  t.equal(clipFactor(Infinity, 1), 0);
  t.ok(Number.isNaN(clipFactor(NaN, 1)));
  t.end();
});

void t.test('a range outside the memory is refused before anything is written', (t) => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const optimizer = new Optimizer(ruleOf({ kind: 'sgd', lr: 1 }), memory);
  const scalars = { learningRate: 1, step: 1, gradientScale: 1 };
  const shard = { elements: 4, parameters: 0, gradients: 64, state: [] };
  for (const bad of [
    { ...shard, parameters: 65528 },
    { ...shard, gradients: 2 },
    { ...shard, elements: -1 },
    { ...shard, state: [128] },
  ]) {
    t.throws(() => optimizer.update(bad, scalars), InvariantError);
  }
  t.throws(() => optimizer.update(shard, { ...scalars, step: 0 }), { message: /step 1/ });
  t.throws(() => optimizer.sumOfSquares(65536, 1), InvariantError);
  t.end();
});
