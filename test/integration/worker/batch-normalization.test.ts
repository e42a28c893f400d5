import t from 'tap';
import { attribute, readSafetensors, tensorOf, type Graph, type Node } from '../../../graph/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { Artifacts, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(180_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());
const table = artifacts.table(60, 6, 3);

const node = (
  operator: string,
  inputs: string[],
  outputs: string[],
  attributes: Node['attributes'] = {},
): Node => ({
  name: `${operator}:${outputs[0]!}`,
  operator,
  domain: '',
  inputs,
  outputs,
  attributes,
});
const values = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => Math.sin(seed + 1.7 * i) / 2);

/** Six features, a dense layer, BatchNormalization, three classes. */
function normalized(training: number): Graph {
  return {
    name: 'normalized',
    inputs: [{ name: 'input', dtype: 'float32', shape: ['N', 6] }],
    outputs: [{ name: 'output', dtype: 'float32', shape: ['N', 3] }],
    nodes: [
      node('MatMul', ['input', 'first'], ['h']),
      node('BatchNormalization', ['h', 'scale', 'bias', 'mean', 'variance'], ['n'], {
        training_mode: attribute.int(training),
        momentum: attribute.float(0.8),
      }),
      node('Relu', ['n'], ['r']),
      node('MatMul', ['r', 'second'], ['output']),
    ],
    parameters: new Map([
      ['first', tensorOf('float32', [6, 5], values(30, 1))],
      ['scale', tensorOf('float32', [5], [1, 1, 1, 1, 1])],
      ['bias', tensorOf('float32', [5], [0, 0, 0, 0, 0])],
      ['second', tensorOf('float32', [5, 3], values(15, 2))],
    ]),
    constants: new Map([
      ['mean', tensorOf('float32', [5], [0, 0, 0, 0, 0])],
      ['variance', tensorOf('float32', [5], [1, 1, 1, 1, 1])],
    ]),
  };
}

async function train(shares: readonly number[], change: Partial<RunPlan> = {}, training = 1) {
  const plan = planOf(artifacts.model(normalized(training)), table, shares, change);
  const { weights, steps, messages } = await trainOnRanks(plan, artifacts.paths);
  const { tensors } = readSafetensors(weights);
  return { of: (name: string) => tensors.get(name)!.data as Float32Array, tensors, steps, messages };
}

t.test('the running statistics move, and are among the weights', async (t) => {
  const { of, tensors } = await train([6]);
  t.same([...tensors.keys()], ['first', 'scale', 'bias', 'second', 'mean', 'variance']);
  t.ok(of('mean').some((x) => Math.abs(x) > 1e-3));
  t.ok(of('variance').every((x) => x > 0 && Math.abs(x - 1) > 1e-3));
});
