import { join } from 'node:path';
import t from 'tap';
import {
  bindGraph,
  GraphBuilder,
  loadModel,
  standardOperators,
  type TypedGraph,
} from '../../../graph/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { simplify, tidy } from '../../../graph/passes/index.js';
import { repositoryRoot } from '../../root.js';

function count(typed: TypedGraph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { operator } of typed.nodes) counts[operator] = (counts[operator] ?? 0) + 1;
  return counts;
}

t.test(
  "an exported gpt's normalisations, activations and weight products become one operator each",
  async (t) => {
    const { graph } = await loadModel(join(repositoryRoot, 'test/fixtures/models/gpt/model.onnx'));
    const counts = count(simplify(bindGraph(graph, { batch: 4 })));
    t.match(counts, { LayerNormalization: 5, Gelu: 2, Gemm: 9, MatMul: 4, Softmax: 2 });
    for (const gone of ['ReduceMean', 'Sqrt', 'Erf', 'Pow', 'Sub']) t.notOk(gone in counts, gone);
  },
);

const matrix = { dtype: 'float32', shape: [3, 4] } as const;

function built(write: (f: Formula, x: string, w: string) => string | readonly string[]): TypedGraph {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const written = write(
    f,
    builder.input('x', matrix),
    builder.parameter('w', { dtype: 'float32', shape: [4, 4] }),
  );
  return builder.build('test', typeof written === 'string' ? [written] : written);
}

t.test('a transposed weight, a bias and a scale go into one Gemm', async (t) => {
  const bias = (f: Formula) => f.constant('float32', [4], [1, 2, 3, 4]);
  const linear = simplify(built((f, x, w) => f.add(bias(f), f.matmul(x, f.transpose(w, [1, 0])))));
  t.same(count(linear), { Gemm: 1 });
  t.match(linear.nodes[0]!.attributes, { transB: { value: 1 } });
  const scaled = simplify(built((f, x, w) => f.mul(f.matmul(x, w), 0.5)));
  t.same(count(scaled), { Gemm: 1 });
  t.match(scaled.nodes[0]!.attributes, { alpha: { value: 0.5 } });
});

t.test('a product that is used twice is computed once', async (t) => {
  const shared = built((f, x, w) => {
    const product = f.gemm(x, w);
    return [f.add(product, f.constant('float32', [4], [1, 2, 3, 4])), f.tanh(product)];
  });
  t.same(count(tidy(shared)), { Gemm: 1, Add: 1, Tanh: 1 });
  const scaled = built((f, x, w) => {
    const product = f.gemm(x, w);
    return [f.mul(f.reshape(product, [12]), 2), f.tanh(product)];
  });
  t.equal(count(tidy(scaled))['Gemm'], 1);
});

t.test('what changes nothing goes', async (t) => {
  const needless = built((f, x) => {
    const twice = f.transpose(f.transpose(x, [1, 0]), [1, 0]);
    const shaped = f.reshape(f.reshape(twice, [12]), [3, 4]);
    const same = f.one('Mul', [
      f.one('Add', [shaped, f.filled([1, 1], 0, 'float32')]),
      f.filled([], 1, 'float32'),
    ]);
    return f.tanh(f.one('Identity', [same]));
  });
  t.same(count(tidy(needless)), { Tanh: 1 });
});

t.test('a neutral operand that broadcasts its partner is kept', async (t) => {
  const wider = built((f, x) => f.one('Mul', [x, f.filled([2, 1, 1], 1, 'float32')]));
  t.same(count(tidy(wider)), { Mul: 1 });
});
