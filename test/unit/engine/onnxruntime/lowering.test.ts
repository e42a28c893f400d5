import t from 'tap';
import {
  attribute,
  elementCode,
  evaluate,
  GraphBuilder,
  int64s,
  standardOperators,
  toReference,
} from '../../../../graph/index.js';
import type { TypedGraph } from '../../../../graph/index.js';
import { createEngine } from '../../../../worker/engine/index.js';
import { checkIndices, indexRanges } from '../../../../worker/engine/indices.js';
import { lowerFor } from '../../../../worker/engine/onnxruntime/lowering/index.js';
import { operatorsOf, unsupportedNodes } from '../../../../worker/engine/onnxruntime/support.js';

const build = (write: (g: GraphBuilder) => readonly string[]): TypedGraph => {
  const g = new GraphBuilder(standardOperators);
  return g.build('made', write(g));
};
const dtypes = (graph: TypedGraph) =>
  [...graph.inputs, ...graph.outputs].map((name) => graph.types.get(name)!.dtype);

t.test('class ids are held in 32 bits on WebGPU; what is only passed on keeps its 64', (t) => {
  const graph = build((g) => {
    g.input('table', { dtype: 'float32', shape: [5, 2] });
    g.input('rows', { dtype: 'int64', shape: [3] });
    g.input('stamp', { dtype: 'int64', shape: [1] });
    return [
      g.one('Gather', ['table', 'rows']),
      g.one('Reshape', ['rows', g.constant(int64s([3, 1]))]),
      g.one('Identity', ['stamp']),
    ];
  });
  t.same(dtypes(lowerFor('webgpu', graph)), ['float32', 'int32', 'int64', 'float32', 'int32', 'int64']);
  t.equal(lowerFor('cpu', graph), graph);
  t.equal(lowerFor('cuda', graph), graph);
  t.end();
});

t.test('arithmetic on int64 is not narrowed: a cast stands before it, and it is reported', (t) => {
  const graph = build((g) => {
    g.input('ids', { dtype: 'int64', shape: [3] });
    const positive = g.one('Greater', ['ids', g.constant(int64s([0]))]);
    return [g.one('Mul', ['ids', 'ids'], {}, 'square'), positive];
  });
  t.same(
    lowerFor('webgpu', graph).nodes.map(({ operator }) => operator),
    ['Cast', 'Mul', 'Greater'].sort((a) => (a === 'Greater' ? -1 : 0)),
  );
  t.match(unsupportedNodes(graph, 'webgpu'), [
    { node: 'square', operator: 'Mul', reason: /no Mul of int64/ },
  ]);
  t.same(unsupportedNodes(graph, 'cpu'), []);
  t.end();
});

t.test('a constant beyond 32 bits stays', (t) => {
  const graph = build((g) => {
    g.input('ids', { dtype: 'int64', shape: [1] });
    return [
      g.one(
        'Equal',
        ['ids', g.constant({ dtype: 'int64', shape: [1], data: BigInt64Array.of(2n ** 40n) })],
        {},
        'far',
      ),
    ];
  });
  t.same(dtypes(lowerFor('webgpu', graph)), ['int64', 'bool']);
  t.match(unsupportedNodes(graph, 'webgpu'), [{ node: 'far' }]);
  t.end();
});

t.test('what is written out means the same', (t) => {
  const cases: Readonly<Record<string, (g: GraphBuilder) => readonly string[]>> = {
    LogSoftmax: (g) => [g.one('LogSoftmax', ['x'], { axis: attribute.int(1) })],
    Sign: (g) => [g.one('Sign', ['x'])],
    Sum: (g) => [g.one('Sum', ['x', 'x', 'x'])],
    Slice: (g) => {
      const ranges = [
        [2 ** 40, -3],
        [-(2 ** 40), -(2 ** 40)],
        [1, 0],
        [-1, -2],
      ];
      return [g.one('Slice', ['x', ...ranges.map((values) => g.constant(int64s(values)))])];
    },
    Split: (g) =>
      g.add('Split', ['long'], { axis: attribute.int(0), num_outputs: attribute.int(19) }, { outputs: 19 }),
    Xor: (g) => {
      const [a, b] = [
        g.one('Cast', ['x'], { to: attribute.int(elementCode('bool')) }),
        g.one('IsNaN', ['x']),
      ];
      return [g.one('Xor', [a, b])];
    },
  };
  const feeds = new Map([
    ['x', toReference({ dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, -2, 0, 3.5, 0.25, -1) })],
    [
      'long',
      toReference({ dtype: 'float32', shape: [20], data: Float32Array.from({ length: 20 }, (_, i) => i) }),
    ],
  ]);
  for (const [operator, write] of Object.entries(cases)) {
    const graph = build((g) => {
      g.input('x', { dtype: 'float32', shape: [2, 3] });
      g.input('long', { dtype: 'float32', shape: [20] });
      return write(g);
    });
    const lowered = lowerFor('webgpu', graph);
    const wide = lowered.nodes.filter(({ outputs }) => outputs.length > 7);
    t.ok(
      lowered.nodes.every((node) => node.operator !== operator || ['Slice', 'Split'].includes(operator)),
      operator,
    );
    t.same(wide, [], 'no kernel has more than eight buffers');
    const [before, after] = [evaluate(graph, feeds), evaluate(lowered, feeds)];
    graph.outputs.forEach((output, i) => {
      const [a, b] = [before.get(output)!, after.get(lowered.outputs[i]!)!];
      t.same(b.shape, a.shape);
      a.data.forEach((value, at) => t.ok(Math.abs(value - b.data[at]!) < 1e-6, `${operator} ${i} at ${at}`));
    });
  }
  t.end();
});

t.test('indices may be int64 where the data may not', (t) => {
  const running = (dtype: 'int64' | 'float32') =>
    build((g) => {
      g.input('x', { dtype, shape: [3] });
      return g.add('CumSum', ['x', g.constant(int64s([0]))], {}, { name: 'running' });
    });
  t.match(unsupportedNodes(running('int64'), 'webgpu'), [{ node: 'running', reason: /no CumSum of int64/ }]);
  t.same(unsupportedNodes(running('float32'), 'webgpu'), []);
  t.end();
});

t.test('what the provider takes and gets wrong is kept away from it', (t) => {
  const pool = build((g) => {
    g.input('x', { dtype: 'float32', shape: [1, 1, 4, 4] });
    return g.add('MaxPool', ['x'], { kernel_shape: attribute.ints([2, 2]) }, { name: 'pool', outputs: 2 });
  });
  t.match(unsupportedNodes(pool, 'webgpu'), [{ node: 'pool', operator: 'MaxPool' }]);
  const operators = operatorsOf('webgpu');
  t.ok(operators.includes('Conv') && operators.includes('OneHot') && !operators.includes('LSTM'));
  t.equal(operatorsOf('cpu'), 'all');
  t.end();
});

t.test('indices are looked at before a GPU reads elsewhere; a label that stands for none is none', (t) => {
  const graph = build((g) => {
    g.input('table', { dtype: 'float32', shape: [5, 2] });
    g.input('labels', { dtype: 'int64', shape: [2] });
    const none = g.one('Equal', ['labels', g.constant(int64s([-100]))]);
    const safe = g.one('Where', [none, g.constant(int64s([0])), 'labels']);
    return [g.add('Gather', ['table', safe], {}, { name: 'pick' })[0]!];
  });
  const range = indexRanges(graph).get('labels');
  t.same(range, { node: 'pick', length: 5, except: -100 });
  checkIndices('labels', range!, BigInt64Array.of(-100n, -5n, 4n));
  t.throws(
    () => checkIndices('labels', range!, BigInt64Array.of(0n, 5n)),
    /"labels" holds 5 at 1; node "pick".*-5 to 4/,
  );
  t.end();
});

t.test('devices that are not here are refused with what to do', async (t) => {
  const refusal = { code: 'engine_unavailable', family: 'user' };
  await t.rejects(createEngine('onnxruntime', { device: 'webgpu:3' }), {
    ...refusal,
    message: /webgpu:0.*VK_ICD_FILENAMES/,
  });
  await t.rejects(createEngine('onnxruntime', { device: 'cuda:0' }), {
    ...refusal,
    message: /libonnxruntime_providers_cuda.so does not exist.*npm rebuild onnxruntime-node/,
  });
  await t.rejects(createEngine('onnxruntime', { device: 'abacus' }), {
    ...refusal,
    message: /cpu, webgpu and cuda/,
  });
});
