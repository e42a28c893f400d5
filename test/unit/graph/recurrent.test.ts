import t from 'tap';
import {
  attribute,
  buildTrainingGraph,
  GraphBuilder,
  standardOperators,
  type Attributes,
  type Graph,
  type TensorType,
} from '../../../graph/index.js';
import { decompose } from '../../../graph/decompose/index.js';

const { int, float, string, strings } = attribute;

const float32 = (...shape: readonly number[]): TensorType => ({ dtype: 'float32', shape });

/** Adds one node whose inputs have the given types. */
function add(
  operator: string,
  types: readonly (TensorType | undefined)[],
  attributes: Attributes = {},
): readonly string[] {
  const builder = new GraphBuilder(standardOperators);
  const inputs = types.map((type, i) => (type ? builder.input(`x${i}`, type) : ''));
  return builder.add(operator, inputs, attributes, { name: 'cell', outputs: 2 });
}

const lengths: TensorType = { dtype: 'int32', shape: [3] };
/** 5 steps of 3 sequences of 2 features; a state of 4. */
const LSTM = [float32(5, 3, 2), float32(1, 16, 2), float32(1, 16, 4)];

t.test('recurrent operators that do not fit are refused with what would', (t) => {
  const cases: readonly (readonly [string, readonly (TensorType | undefined)[], Attributes, RegExp])[] = [
    ['LSTM', [float32(5, 3), ...LSTM.slice(1)], {}, /X is .*\[5, ?3\].* must have 3 dimensions/],
    ['LSTM', [LSTM[0], float32(1, 12, 2), LSTM[2]], {}, /W is .*; \[1, 16, 2\] would be accepted/],
    ['GRU', LSTM, {}, /W is .*; \[1, 12, 2\] would be accepted/],
    ['LSTM', LSTM, { hidden_size: int(8) }, /hidden_size is 8, and R is .* for 4/],
    ['LSTM', LSTM, { direction: string('sideways') }, /"sideways"; forward, reverse, bidirectional/],
    ['LSTM', LSTM, { direction: string('bidirectional') }, /W is .*; \[2, 16, 2\]/],
    ['LSTM', LSTM, { activations: strings(['Tanh']) }, /1 activations \[Tanh\]; it needs 3/],
    ['LSTM', LSTM, { activations: strings(['Tanh', 'Swish', 'Tanh']) }, /"Swish"; Relu, Tanh, Sigmoid/],
    ['LSTM', LSTM, { clip: float(-1) }, /clip is -1; it must be above 0/],
    ['LSTM', [...LSTM, float32(1, 16)], {}, /B is .*; \[1, 32\]/],
    ['LSTM', [...LSTM, undefined, { ...lengths, shape: [4] }], {}, /sequence_lens is .*; \[3\]/],
    ['LSTM', [...LSTM, undefined, undefined, float32(3, 1, 4)], {}, /initial_h is .*; \[1, 3, 4\]/],
    ['RNN', [float32(0, 3, 2), float32(1, 4, 2), float32(1, 4, 4)], {}, /at least one step/],
  ];
  for (const [operator, types, attributes, message] of cases) {
    t.throws(() => add(operator, types, attributes), { code: 'bad_shape', message, family: 'user' });
  }
  t.end();
});

t.test('batch first: the states have the batch in front too', (t) => {
  const types = [float32(3, 5, 2), ...LSTM.slice(1), undefined, lengths, float32(3, 1, 4)];
  t.doesNotThrow(() => add('LSTM', types, { layout: int(1) }));
  t.end();
});

t.test('attention that does not fit is refused with what would', (t) => {
  const q = float32(2, 4, 5, 8);
  const k = float32(2, 2, 6, 8);
  const cases: readonly (readonly [readonly (TensorType | undefined)[], Attributes, RegExp])[] = [
    [[q, float32(2, 6, 16), k], {}, /all need 4 dimensions, or all 3/],
    [[q, float32(2, 3, 6, 8), float32(2, 3, 6, 8)], {}, /4 heads of queries cannot share 3/],
    [[q, float32(2, 2, 6, 4), k], {}, /batch, keys' features or places differ/],
    [[float32(2, 5, 32), float32(2, 6, 16), float32(2, 6, 16)], {}, /q_num_heads is 0/],
    [[q, k, k, float32(5, 7)], {}, /do not broadcast|would be accepted/],
    [[q, k, k, undefined, k], {}, /past_value\) is missing; \[2, 2, 6, 8\]/],
    [[q, k, k], { qk_matmul_output_mode: int(4) }, /qk_matmul_output_mode is 4; 0 to 3/],
  ];
  for (const [types, attributes, message] of cases) {
    t.throws(() => add('Attention', types, attributes), { code: 'bad_shape', message });
  }
  t.end();
});

function rnn(steps: number): Graph {
  const tensor = (...shape: readonly number[]) => ({
    dtype: 'float32' as const,
    shape,
    data: new Float32Array(shape.reduce((size, dim) => size * dim, 1)).fill(0.1),
  });
  return {
    name: 'rnn',
    inputs: [{ name: 'x', dtype: 'float32', shape: [steps, 2, 3] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [1, 2, 4] }],
    nodes: [
      {
        name: 'cell',
        operator: 'RNN',
        domain: '',
        inputs: ['x', 'w', 'r', 'b'],
        outputs: ['', 'y'],
        attributes: {},
      },
    ],
    parameters: new Map([
      ['w', tensor(1, 4, 3)],
      ['r', tensor(1, 4, 4)],
      ['b', tensor(1, 8)],
    ]),
    constants: new Map(),
  };
}

t.test('a sequence too long to write out is refused', (t) => {
  const builder = new GraphBuilder(standardOperators);
  const inputs = [float32(4097, 1, 1), float32(1, 1, 1), float32(1, 1, 1)].map((type, i) =>
    builder.input(`x${i}`, type),
  );
  const typed = builder.build('long', builder.add('RNN', inputs, {}, { name: 'cell', outputs: 2 }));
  t.throws(() => decompose(typed), { code: 'bad_shape', message: /"cell" .*4097 steps.*up to 4096/ });
  t.end();
});

t.test('over a sequence, a weight has one gradient product and a bias one sum', (t) => {
  const count = (steps: number) => {
    const shapes = { x: [steps, 2, 3] };
    const { nodes } = buildTrainingGraph(rnn(steps), { shapes, loss: 'mse' }).graph;
    const of = (operator: string) => nodes.filter((node) => node.operator === operator).length;
    return { gemms: of('Gemm'), sums: of('ReduceSum') };
  };
  const [short, long] = [count(6), count(16)];
  // a step more is a product forwards and one backwards
  t.equal(long.gemms - short.gemms, 2 * 10);
  t.equal(long.sums, short.sums);
  t.end();
});
