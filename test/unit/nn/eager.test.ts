import { inspect } from 'node:util';
import t from 'tap';
import {
  buildTrainingGraph,
  evaluate,
  LOSS_SCALE,
  sizeOf,
  toReference,
  type Reference,
  type Tensor,
} from '../../../graph/index.js';
import {
  custom,
  define,
  defineOperator,
  eager,
  embedding,
  fn,
  ids,
  LayerError,
  linear,
  mean,
  model,
  NoValueError,
  relu,
  sequential,
  tanh,
  tensor,
  type Definition,
  type Model,
} from '../../../graph/nn/index.js';
import { layers } from './layers.js';

const wave = (size: number, phase: number) =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898 + phase));

/** Loss, output and gradients by the traced graph; no dropout drops. */
function traced({ graph }: Model, inputs: Readonly<Record<string, Reference>>, target: Reference) {
  const training = buildTrainingGraph(graph, { batch: target.shape[0]!, loss: 'mse', includeOutput: true });
  const values = new Map<string, Reference>(
    [...graph.parameters].map(([name, value]) => [name, toReference(value)]),
  );
  for (const [name, value] of Object.entries(inputs)) values.set(name, value);
  values.set(training.target.name, target).set(LOSS_SCALE, filled([], 1));
  for (const mask of training.dropout) values.set(mask.input, filled(mask.shape, 1));
  const results = evaluate(training.graph, values);
  const gradients = [...training.gradients].map(([name, value]) => [name, results.get(value)!.data] as const);
  return {
    loss: results.get(training.loss)!.data[0]!,
    output: results.get(training.output!)!,
    gradients: new Map(gradients),
  };
}

for (const [name, layer, input, shape] of layers) {
  t.test(`${name}: eager and traced are one`, async (t) => {
    const layersWithEnd = sequential(
      layer,
      fn((x) => x.times(1.5)),
    );
    const definition: Definition = { input, layers: layersWithEnd, seed: 5 };
    const [given, wanted] = [[2, ...input.shape.slice(1)] as number[], shape];
    const x = wave(sizeOf(given), 1);
    const y = wave(sizeOf(wanted), 2);
    const reference = (shape: readonly number[], data: Float32Array) =>
      toReference({ dtype: 'float32', shape, data });
    const expected = traced(model(definition), { input: reference(given, x) }, reference(wanted, y));
    eager(({ tensor, run }) => {
      const source = tensor(x, given);
      const output = run(definition, { input: source });
      t.same(output.shape, shape, 'the shape that the layer says is that of the value');
      t.ok(close(output.data, expected.output.data), 'outputs');
      const off = output.minus(tensor(y, wanted));
      const loss = off.times(off).mean();
      t.ok(Math.abs(loss.item() - expected.loss) <= 1e-12 * Math.abs(expected.loss), 'loss');
      const gradients = loss.backward();
      t.same([...gradients.keys()].sort(), [...expected.gradients.keys()].sort());
      for (const [parameter, gradient] of gradients) {
        t.ok(close(gradient.data, expected.gradients.get(parameter)!), `gradient of ${parameter}`);
      }
      t.same(source.grad?.shape, given, 'inputs have gradients too');
    });
  });
}

t.test('a model of several inputs, with ids and shared modules', async (t) => {
  const definition = define({
    inputs: { words: ids(4), extra: tensor(3) },
    modules: { table: embedding(10, 3), pool: mean(1), mix: linear(3), head: linear(2) },
    forward: ({ words, extra }, m) => m.head(m.mix(m.pool(m.table(words))).plus(m.mix(extra))),
  });
  const words = { dtype: 'int64', shape: [2, 4], data: Float64Array.of(1, 2, 3, 9, 0, 0, 5, 7) } as const;
  const extra = toReference({ dtype: 'float32', shape: [2, 3], data: wave(6, 1) });
  const expected = traced(model(definition), { words, extra }, filled([2, 2], 0));
  eager(({ tensor, ids, run }) => {
    const y = run(definition, { words: ids(words.data, [2, 4]), extra: tensor(wave(6, 1), [2, 3]) });
    t.ok(close(y.data, expected.output.data));
    const gradients = y.times(y).mean().backward();
    t.ok(close(gradients.get('table.weight')!.data, expected.gradients.get('table.weight')!));
  });
});

t.test("a user's own operator", async (t) => {
  const cube = defineOperator({
    domain: 'test.ops',
    name: 'Dropout', // of another domain: not the one that passes values on
    inputs: ['x'],
    output: 'x',
    forward: function (x) {
      const v = x[this.thread.x]!;
      return v * v * v;
    },
    gradient: {
      x: function (dy, x) {
        const v = x[this.thread.x]!;
        return 3 * dy[this.thread.x]! * v * v;
      },
    },
  });
  const net = define({ input: tensor(2), layers: sequential(linear(3), fn((x) => custom(cube, x))) }); // prettier-ignore
  const input = toReference({ dtype: 'float32', shape: [2, 2], data: wave(4, 1) });
  const expected = traced(model(net), { input }, filled([2, 3], 0));
  eager(({ tensor, run }) => {
    const y = run(net, { input: tensor(wave(4, 1), [2, 2]) });
    t.ok(close(y.data, expected.output.data));
    const gradients = y.times(y).mean().backward();
    t.ok(close(gradients.get('0.weight')!.data, expected.gradients.get('0.weight')!));
  });
});

t.test('values at hand: JavaScript decides, console.log shows', async (t) => {
  const answer = eager(({ tensor }) => {
    const x = tensor([
      [1, -2],
      [3, 4.5],
    ]);
    t.same(x.shape, [2, 2]);
    t.same([...x.plus(1).data], [2, -1, 4, 5.5]);
    t.match(inspect(x), /^Value float32\[2,2\] "tensor"\n\[\[1, -2\],\n \[3, 4\.5\]\]$/);
    t.match(inspect(tensor(wave(100, 0))), /\.\.\./);
    const total = x.sum();
    t.equal(String(total), 'float32[]');
    t.equal(Number(total), 6.5);
    return total.item() > 0 ? 'above' : 'below';
  });
  t.equal(answer, 'above');
});

t.test('while a model is traced there are no numbers', async (t) => {
  const decide = fn((x) => (x.item() > 0 ? x : x.times(-1)));
  const compare = fn((x) => (Number(x) > 0 ? x : x.times(-1)));
  const descend = fn((x) => {
    x.mean().backward();
    return x;
  });
  for (const [layers, use] of [
    [decide, 'item'],
    [compare, 'item'],
    [descend, 'backward'],
    [fn((x) => x.times(x.data[0]!)), 'data'],
    [fn((x) => x.grad ?? x), 'grad'],
  ] as const) {
    t.throws(() => model({ input: tensor(1), layers }), {
      name: 'NoValueError',
      code: 'no_value',
      message: new RegExp(
        `^${use}.*: float32\\[.*\\] has no elements while the model is traced.*eager\\(\\)`,
      ),
    });
  }
  const shown: string[] = [];
  const show = fn((x) => {
    shown.push(inspect(x));
    return x.times(2);
  });
  model({ input: tensor(3), layers: show });
  t.same(shown, ['Value float32[batch,3] "input"'], 'printing does not fail');
  eager(({ tensor, modules }) => {
    const { choose } = modules({ choose: decide });
    t.same([...choose(tensor([-2])).data], [2], 'the same code runs eagerly');
  });
});

t.test('training eagerly; the trained parameters go into a traced model', async (t) => {
  const net = { input: tensor(2), layers: sequential(linear(8), tanh(), linear(1)), seed: 3 };
  const parameters = new Map<string, Tensor>();
  const losses: number[] = [];
  for (let step = 0; step < 120; step++) {
    eager(
      ({ tensor, run }) => {
        const x = tensor([[0, 0], [0, 1], [1, 0], [1, 1]]); // prettier-ignore
        const off = run(net, { input: x }).minus(tensor([[0], [1], [1], [0]]));
        const loss = off.times(off).mean();
        losses.push(loss.item());
        for (const [name, gradient] of loss.backward()) {
          const { data } = parameters.get(name)!;
          gradient.data.forEach((slope, i) => ((data as Float32Array)[i]! -= 0.1 * slope));
        }
      },
      { parameters },
    );
  }
  t.ok(losses.at(-1)! < 0.7 * losses[0]!, `${losses[0]} to ${losses.at(-1)}`);
  const { graph } = model({ ...net, parameters });
  t.same([...graph.parameters.keys()], ['0.weight', '0.bias', '2.weight', '2.bias']);
  t.same(graph.parameters.get('0.weight')!.data, parameters.get('0.weight')!.data);
  t.notSame(graph.parameters.get('0.weight')!.data, model(net).graph.parameters.get('0.weight')!.data);
});

t.test('a scope lets go of its values', async (t) => {
  const kept = eager(({ tensor }) => tensor([1, 2]).plus(1));
  t.throws(() => kept.data, NoValueError);
  t.throws(() => kept.plus(1), { message: /the eager scope has ended/ });
  const later = await eager(async ({ tensor }) => {
    const x = tensor([1, 2]);
    await Promise.resolve();
    return [x, x.sum().item()] as const;
  });
  t.equal(later[1], 3);
  t.throws(() => later[0].data, NoValueError);
});

t.test('what does not fit is said', async (t) => {
  eager(({ tensor, ids: tokens, run }) => {
    t.throws(() => tensor([[1, 2], [3]]), { message: /rows of different lengths/ });
    t.throws(() => tensor([1, 2, 3], [2, 2]), { message: /3 elements do not fill \[2, 2\]/ });
    t.throws(() => tensor([1, 2]).backward(), { message: /goes from a float scalar.*float32\[2\]/ });
    t.throws(() => tensor([1, 2]).item(), LayerError);
    const net: Definition = { input: tensor4(), layers: relu() };
    t.throws(() => run(net, {}), { message: /needs the input "input", float32\[batch,4\]/ });
    t.throws(() => run(net, { input: tensor([[1, 2]]) }), {
      message: /is float32\[batch,4\]; it is given float32\[1,2\]/,
    });
    t.throws(() => run(net, { input: tokens([[1, 2, 3, 4]]) }), { message: /it is given int64\[1,4\]/ });
    t.throws(() => run(net, { input: tensor([[1, 2, 3, 4]]), more: tensor([1]) }), {
      message: /no input "more"/,
    });
  });
});

const tensor4 = () => tensor(4);

function filled(shape: readonly number[], value: number): Reference {
  return { dtype: 'float32', shape, data: new Float64Array(sizeOf(shape)).fill(value) };
}

function close(a: Float64Array, b: Float64Array): boolean {
  return (
    a.length === b.length && a.every((x, i) => Math.abs(x - b[i]!) <= 1e-12 * Math.max(1, Math.abs(b[i]!)))
  );
}
