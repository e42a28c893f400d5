import t from 'tap';
import {
  attribute,
  GraphBuilder,
  int64s,
  standardOperators,
  tensorOf,
  type TypedGraph,
} from '../../../../graph/index.js';
import { footprintOf } from '../../../../worker/engine/gpujs/budget.js';
import { MOST_INPUTS } from '../../../../worker/engine/gpujs/fuse.js';
import { planOf, refusalsOf } from '../../../../worker/engine/gpujs/plan.js';

const float = (shape: readonly number[]) => ({ dtype: 'float32', shape }) as const;
const plan = (graph: TypedGraph) => planOf(graph, 'wasm', 'gpujs');

t.test('what is computed cell by cell is one launch, with its constants written into it', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([4, 3]));
  g.input('b', float([3]));
  const two = g.constant(tensorOf('float32', [], [2]));
  const y = g.one('Relu', [g.one('Add', [g.one('Mul', ['x', two]), 'b'])]);
  const { launches, constants } = plan(g.build('chain', [y]));
  t.equal(launches.length, 1);
  t.same(launches[0]!.kernel.inputs, ['x', 'b']);
  t.match(launches[0]!.kernel.source, /\* 2\)/);
  t.equal(constants.size, 0);
  t.end();
});

t.test('a value that others read too is made once', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([8]));
  const e = g.one('Exp', ['x']);
  const sum = g.one('ReduceSum', [e], { keepdims: attribute.int(1) });
  const { launches } = plan(g.build('shared', [g.one('Div', [e, sum])]));
  t.same(
    launches.map(({ node }) => node.operator),
    ['Exp', 'ReduceSum', 'Div'],
  );
  t.end();
});

t.test('transposed, sliced and repeated values are read where they come from', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([4, 3]));
  g.input('y', float([1, 4]));
  const turned = g.one('Transpose', ['x']);
  const wide = g.one('Expand', ['y', g.constant(int64s([3, 4]))]);
  const { launches } = plan(g.build('copies', [g.one('Add', [turned, wide])]));
  t.equal(launches.length, 1);
  t.same(launches[0]!.kernel.inputs, ['x', 'y']);
  t.end();
});

t.test(
  'an integer that float32 does not hold is refused, also where it would be written into a launch',
  (t) => {
    const compare = (...values: number[]) => {
      const g = new GraphBuilder(standardOperators);
      g.input('x', { dtype: 'int64', shape: [2] });
      return plan(g.build('compare', [g.one('Equal', ['x', g.constant(int64s(values))])]));
    };
    t.equal(compare(2 ** 24).constants.size, 0);
    t.throws(() => compare(2 ** 24 + 1), /\(Equal\): constant .* holds 16777217; integers up to 2\^24/);
    t.throws(() => compare(1, 2 ** 24 + 1), /holds 16777217/);
    t.end();
  },
);

t.test('no launch reads more values than a GPU binds', (t) => {
  const g = new GraphBuilder(standardOperators);
  const names = Array.from({ length: 20 }, (_, i) => g.input(`x${i}`, float([2])));
  const joined = g.one('Concat', names, { axis: attribute.int(0) });
  const total = names.reduce((sum, name) => g.one('Add', [sum, name]));
  const { launches } = plan(g.build('many', [joined, total]));
  for (const { kernel } of launches) t.ok(kernel.inputs.length <= MOST_INPUTS, kernel.inputs.join());
  t.ok(launches.length >= 7, 'in several launches');
  t.end();
});

t.test('what follows from constants and shapes is computed before; what nobody reads is not', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([2, 3]));
  const shape = g.one('Shape', ['x']);
  const size = g.one('ReduceProd', [shape], { keepdims: attribute.int(0) });
  g.one('Exp', ['x']);
  const { launches, outputs } = plan(g.build('known', [size]));
  t.equal(launches.length, 0);
  t.match(outputs, [{ kind: 'constant', tensor: { data: BigInt64Array.of(6n) } }]);
  t.end();
});

t.test('nodes that it cannot run are named, all of them', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('x', { dtype: 'float64', shape: [2] });
  g.input('n', { dtype: 'int64', shape: [2] });
  const a = g.add('Exp', ['x'], {}, { name: 'first' })[0]!;
  const left = { direction: attribute.string('LEFT') };
  const b = g.add('BitShift', ['n', 'n'], left, { name: 'second' })[0]!;
  const found = refusalsOf(g.build('bad', [a, b]), 'wasm');
  t.match(found, [
    { node: 'first', operator: 'Exp', reason: /float64\[2\], which it cannot hold/ },
    { node: 'second', operator: 'BitShift', reason: /no kernel/ },
  ]);
  t.throws(() => plan(g.build('bad', [a])), { code: 'compile_failed', message: /node "first" \(Exp\)/ });
  t.end();
});

t.test('bits of integers: not on WebGL, and known when it is planned', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('n', { dtype: 'int64', shape: [2] });
  const both = g.add('BitwiseAnd', ['n', 'n'], {}, { name: 'both' })[0]!;
  const graph = g.build('bits', [g.add('BitwiseNot', [both])[0]!]);
  t.match(refusalsOf(graph, 'webgl'), [{ node: 'both', reason: /GLSL/ }]);
  for (const backend of ['javascript', 'wasm', 'webgpu'] as const)
    t.equal(refusalsOf(graph, backend).length, 0);
  t.end();
});

t.test('a length of a sequence that is given is checked, as indices are', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([5, 3, 2]));
  g.input('lengths', { dtype: 'int64', shape: [3] });
  const { checks } = plan(g.build('reversed', [g.one('ReverseSequence', ['x', 'lengths'])]));
  t.match(checks, [{ input: 'lengths', lengths: [6] }], 'all five steps at most');
  t.end();
});

t.test('a constant that float32 does not count is refused where it is read', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('n', { dtype: 'int64', shape: [2] });
  const large = g.constant(int64s([1, 2 ** 30]));
  const graph = g.build('large', [g.add('Add', ['n', large], {}, { name: 'sum' })[0]!]);
  t.throws(() => plan(graph), { code: 'compile_failed', ids: { node: 'sum' }, message: /holds 1073741824/ });
  t.end();
});

t.test('memory: values that never live together share it, on backends that let them', (t) => {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([1000]));
  // a reduction between them keeps the five apart
  let value = 'x';
  for (let i = 0; i < 5; i++) {
    const total = g.one('ReduceSum', [value]);
    value = g.one('Mul', [value, total]);
  }
  const made = plan(g.build('deep', [value]));
  const shared = footprintOf(made, 'wasm');
  t.equal(shared.inputs, 4000);
  t.equal(shared.values, 2 * 4000 + 4, 'two that alternate, and a sum');
  t.equal(shared.staging, 0);
  t.equal(footprintOf(made, 'javascript').values, 5 * 4000 + 5 * 4);
  t.equal(footprintOf(made, 'webgpu').staging, 4000);
  t.equal(shared.largest.bytes, 4000);
  t.end();
});
