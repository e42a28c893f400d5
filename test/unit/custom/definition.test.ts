import t from 'tap';
import {
  checkOperator,
  defineOperator,
  readOperator,
  readOperators,
  writeOperator,
  writeOperators,
  type OperatorText,
} from '../../../graph/index.js';
import { rowSum, snake } from './snake.js';

const plain = writeOperator(snake.operator);
const changed = (change: Partial<Record<keyof OperatorText, unknown>>) => ({ ...plain, ...change });

t.test('a definition goes through text and comes back', (t) => {
  for (const { operator } of [snake, rowSum]) {
    const [again] = readOperators(writeOperators([operator]));
    t.same(again, operator);
  }
  t.end();
});

t.test('methods are functions; arrow functions are none', (t) => {
  const operator = defineOperator({
    domain: 'my.ops',
    name: 'Double',
    inputs: ['x'],
    forward(x) {
      return 2 * x[this.thread.x]!;
    },
    gradient: {
      x(dy) {
        return 2 * dy[this.thread.x]!;
      },
    },
  });
  t.match(operator.operator.forward.source, /^function forward/);
  t.equal(checkOperator({ operator: operator.operator, shapes: [[3]], attributes: {} }).length, 3);
  t.throws(
    () =>
      defineOperator({
        domain: 'my.ops',
        name: 'A',
        inputs: ['x'],
        forward: (x) => x[0]!,
        gradient: { x: 'none' },
      }),
    /arrow function/,
  );
  t.end();
});

t.test('definitions that are refused', (t) => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /a definition is an object/],
    [[], /a definition is an object/],
    [changed({ domain: '' }), /domain/],
    [changed({ domain: 'ai.onnx' }), /domain/],
    [changed({ domain: 'com.microsoft' }), /domain/],
    [changed({ domain: 'a/../b' }), /domain/],
    [changed({ name: 'Snake.grad.x' }), /name/],
    [changed({ name: 7 }), /name/],
    [changed({ inputs: [] }), /inputs is to be a list/],
    [changed({ inputs: ['dy', 'alpha'] }), /"dy" cannot be an input/],
    [changed({ inputs: ['x', 'x'] }), /two inputs/],
    [changed({ attributes: { scale: '1' } }), /attributes\.scale/],
    [changed({ attributes: { scale: 1, shift: 0, x_size: 3 } }), /name of an extent/],
    [changed({ output: 'z' }), /output: "z" is no input/],
    [changed({ output: ['x.0', 'x.1 ** 2'] }), /is no dimension/],
    [changed({ output: { a: 1 } }), /a shape is/],
    [changed({ forward: 3 }), /forward is to be a function/],
    [changed({ forward: 'function (x) { return process.pid; }' }), /forward, line 1, column 23/],
    [changed({ gradient: {} }), /gradient\.x is missing/],
    [changed({ gradient: { ...plain.gradient, z: 'none' } }), /gradient\.z: there is no such input/],
    [
      changed({ gradient: { ...plain.gradient, x: { kernel: plain.forward, reduce: 'mean' } } }),
      /reduce is to be "sum"/,
    ],
    [changed({ gradient: { ...plain.gradient, x: 'while (1);' } }), /gradient of x, line 1/],
    [changed({ ranges: { x: [1, 0] } }), /ranges\.x/],
    [changed({ ranges: { z: [0, 1] } }), /ranges\.z/],
  ];
  for (const [text, message] of cases) t.throws(() => readOperator(text), message);
  t.throws(() => readOperators('not json'), /no list of definitions/);
  t.throws(() => readOperators('{}'), /no list of definitions/);
  t.end();
});

t.test('a gradient of a slow kernel is checked at fewer elements', (t) => {
  const use = { operator: snake.operator, shapes: [[4, 8], [8]], attributes: {} };
  const counted = (seconds: number) => {
    let time = 0;
    const inputs = checkOperator(use, 0, () => (time += seconds)).map(({ input }) => input);
    return ['x', 'alpha'].map((input) => inputs.filter((each) => each === input).length);
  };
  t.same(counted(0), [24, 8]);
  t.same(counted(10), [3, 3]);
  t.end();
});

t.test('a gradient is checked by differences', (t) => {
  const use = { attributes: {}, shapes: [[4, 3], [3]] };
  const compared = checkOperator({ operator: snake.operator, ...use });
  t.equal(compared.filter(({ input }) => input === 'x').length, 12);
  t.equal(compared.filter(({ input }) => input === 'alpha').length, 3);
  t.ok(checkOperator({ operator: rowSum.operator, attributes: {}, shapes: [[4, 3]] }).length > 0);

  const wrong = readOperator(
    changed({
      gradient: {
        ...plain.gradient,
        alpha: { kernel: 'function (dy) { return dy[this.thread.x]; }', reduce: 'sum' },
      },
    }),
  );
  t.throws(() => checkOperator({ operator: wrong, ...use }), {
    code: 'bad_operator',
    message:
      /gradient of alpha: at element \d of \[3\] the kernel gives -?[\d.e-]+, and differences of the forward kernel give -?[\d.e-]+/,
  });
  const sign = readOperator(
    changed({ gradient: { ...plain.gradient, x: 'function (dy) { return -dy[this.thread.x]; }' } }),
  );
  t.throws(() => checkOperator({ operator: sign, ...use }), /gradient of x/);
  const log = readOperator({
    ...plain,
    inputs: ['x'],
    attributes: {},
    ranges: {},
    forward: 'function (x) { return Math.log(x[this.thread.x]); }',
    gradient: { x: 'function (dy, x) { return dy[this.thread.x] / x[this.thread.x]; }' },
  });
  t.throws(() => checkOperator({ operator: log, attributes: {}, shapes: [[20]] }), /say with ranges/);
  t.ok(checkOperator({ operator: { ...log, ranges: { x: [0.5, 3] } }, attributes: {}, shapes: [[20]] }));
  t.end();
});
