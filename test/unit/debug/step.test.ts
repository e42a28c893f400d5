import t from 'tap';
import {
  asStored,
  faultIn,
  faultOf,
  GraphBuilder,
  standardOperators,
  startValues,
  statisticsOf,
  steps,
  tensorOf,
  type Reference,
} from '../../../graph/index.js';

const value = (...elements: number[]): Reference => ({
  dtype: 'float32',
  shape: [elements.length],
  data: Float64Array.from(elements),
});
const named = (name: string, ...elements: number[]) => ({ name, value: value(...elements) });

/** y = log(x) + c, z = y * y */
function graph() {
  const builder = new GraphBuilder(standardOperators);
  const x = builder.input('x', { dtype: 'float32', shape: [3] });
  const c = builder.constant(tensorOf('float32', [3], [1, 2, 3]), 'c');
  const logarithm = builder.one('Log', [x], {}, 'log');
  const y = builder.one('Add', [logarithm, c], {}, 'add');
  return builder.build('g', [builder.one('Mul', [y, y], {}, 'square')]);
}

t.test('a run stands still after each node, and computes nothing ahead', async (t) => {
  const typed = graph();
  const known = startValues(typed, new Map([['x', value(1, Math.E, 1)]]));
  const run = steps(typed, known);
  const first = run.next().value!;
  t.match(first, { index: 0, node: { name: 'log' }, inputs: [{ name: 'x' }] });
  t.same([...first.outputs[0]!.value.data], [0, 1, 0]);
  t.equal(known.size, 3, 'x, c and the logarithm');
  t.match(run.next().value, { index: 1, node: { name: 'add' }, inputs: [{}, { name: 'c' }] });
  t.same([...run.next().value!.outputs[0]!.value.data], [1, 9, 9]);
  t.ok(run.next().done);
});

t.test('a missing value and a wrong type are refused', async (t) => {
  t.throws(() => startValues(graph(), new Map()), /no value is given for "x"/);
  t.throws(
    () => startValues(graph(), new Map([['x', value(1)]])),
    /float32\[1\]; the graph has float32\[3\]/,
  );
});

t.test('results can be rounded as a device stores them', async (t) => {
  const known = startValues(graph(), new Map([['x', value(2, 3, 5)]]));
  const [logarithm] = [...steps(graph(), known, { settle: asStored })];
  t.equal(logarithm!.outputs[0]!.value.data[0], Math.fround(Math.log(2)));
  t.same(
    [...asStored(value(1e39, 1e-50)).data],
    [Infinity, 0],
    'what overflows or vanishes in float32 does here',
  );
  const ids: Reference = { dtype: 'int64', shape: [1], data: Float64Array.of(2 ** 40 + 1) };
  t.equal(asStored(ids), ids);
});

t.test('statistics leave out what is no number', async (t) => {
  t.same(statisticsOf(value(0, 2, NaN, -4, Infinity, 0)), {
    ...{ count: 6, zeros: 2, nan: 1, infinite: 1 },
    ...{ min: -4, max: 2, mean: -0.5, std: Math.sqrt((0.25 + 6.25 + 12.25 + 0.25) / 4) },
  });
  t.match(statisticsOf(value(NaN)), { count: 1, min: null, max: null, mean: null, std: null });
  t.match(statisticsOf(value()), { count: 0, min: null });
  const far = statisticsOf(value(1e9, 1e9 + 1));
  t.equal(far.std, 0.5, 'a large mean does not swallow the deviation');
});

t.test('a fault is where NaN or infinities come from nothing of the kind', async (t) => {
  const fault = (inputs: number[], outputs: number[]) =>
    faultOf({ inputs: [named('x', ...inputs)], outputs: [named('y', ...outputs)] });
  t.equal(fault([1, 2], [3, 4]), undefined);
  t.same(fault([1, 0, 0], [0, -Infinity, -Infinity]), { kind: 'infinity', value: 'y', count: 2, at: 1 });
  t.same(fault([-1, 1], [NaN, 0]), { kind: 'nan', value: 'y', count: 1, at: 0 });
  t.equal(fault([-Infinity], [-Infinity]), undefined, 'a mask that is handed on');
  t.equal(fault([NaN], [NaN]), undefined, 'the node before is at fault');
  t.match(fault([Infinity], [NaN]), { kind: 'nan' }, 'NaN of infinities');
  t.match(fault([NaN, 1], [NaN, Infinity]), { kind: 'infinity' });
  t.match(faultIn(named('data', 1, NaN)), { kind: 'nan', value: 'data', at: 1 });
  t.equal(faultIn(named('data', 1, 2)), undefined);
});
