import t from 'tap';
import {
  attribute,
  evaluate,
  GraphBuilder,
  int64s,
  scalar,
  standardOperators,
  tensorOf,
  type Attributes,
  type Tensor,
} from '../../../graph/index.js';

const { int, float, ints, string } = attribute;
const vector = (...values: number[]): Tensor => tensorOf('float32', [values.length], values);
const matrix = (columns: number, ...values: number[]): Tensor =>
  tensorOf('float32', [values.length / columns, columns], values);
const bytes = (...values: number[]): Tensor => tensorOf('uint8', [values.length], values);
const image = (shape: readonly number[], ...values: number[]): Tensor => tensorOf('float32', shape, values);

/** One node with constant operands in the reference evaluator. */
function run(
  operator: string,
  inputs: readonly (Tensor | undefined)[],
  attributes: Attributes = {},
  outputs = 1,
): number[][] {
  const builder = new GraphBuilder(standardOperators);
  const names = inputs.map((tensor) => (tensor ? builder.constant(tensor) : ''));
  const made = builder.add(operator, names, attributes, { outputs });
  const values = evaluate(builder.build('one', made), new Map());
  return made.map((name) => [...values.get(name)!.data]);
}

/** Results worked out by hand from the specification. */
const TABLE: readonly (readonly [string, readonly (Tensor | undefined)[], Attributes, readonly number[]])[] =
  [
    ['Abs', [vector(-2, 0, 3)], {}, [2, 0, 3]],
    ['LeakyRelu', [vector(-2, 4)], { alpha: float(0.25) }, [-0.5, 4]],
    ['Elu', [vector(-Infinity, 1)], { alpha: float(2) }, [-2, 1]],
    ['Softplus', [vector(1000, -1000)], {}, [1000, 0]],
    ['Sigmoid', [vector(0, 1000, -1000)], {}, [0.5, 1, 0]],
    ['Erf', [vector(0, 1, -1, 10)], {}, [0, 0.842700792949715, -0.842700792949715, 1]],
    ['Div', [int64s([-7, 7]), int64s([2, 2])], {}, [-3, 3]],
    ['Mod', [int64s([-7, 7]), int64s([3, -3])], {}, [2, -2]],
    ['Mod', [vector(-7, 7), vector(3, -3)], { fmod: int(1) }, [-1, 1]],
    ['Mul', [tensorOf('int32', [1], [2 ** 30]), tensorOf('int32', [1], [6])], {}, [-(2 ** 31)]],
    ['Round', [vector(0.5, 1.5, 2.5, -0.5, -1.5, 2.4)], {}, [0, 2, 2, -0, -2, 2]],
    ['IsInf', [vector(Infinity, -Infinity, NaN)], { detect_negative: int(0) }, [1, 0, 0]],
    ['BitShift', [bytes(129, 3), bytes(1, 7)], { direction: string('LEFT') }, [2, 128]],
    ['BitShift', [bytes(129, 3), bytes(1, 7)], { direction: string('RIGHT') }, [64, 0]],
    ['BitwiseNot', [bytes(0, 129)], {}, [255, 126]],
    ['BitwiseXor', [int64s([-1, 2 ** 40]), int64s([2 ** 40, 2 ** 40])], {}, [-1 - 2 ** 40, 0]],
    ['Mean', [vector(1, 2), vector(5)], {}, [3, 3.5]],
    ['PRelu', [vector(-2, 4), vector(0.25)], {}, [-0.5, 4]],
    ['ThresholdedRelu', [vector(1, 1.5)], {}, [0, 1.5]],
    ['LpNormalization', [matrix(2, 3, -1, 0, 0)], { p: int(1) }, [0.75, -0.25, 0, 0]],
    [
      'LRN',
      [image([1, 3, 1], 1, 2, 3)],
      { size: int(3), alpha: float(3), beta: float(1) },
      [1 / 6, 2 / 15, 3 / 14],
    ],
    ['NegativeLogLikelihoodLoss', [matrix(2, -1, -2), int64s([1])], {}, [2]],
    [
      'NegativeLogLikelihoodLoss',
      [matrix(2, -1, -2, -3, -4), int64s([1, -7]), vector(1, 0.5)],
      { ignore_index: int(-7), reduction: string('none') },
      [1, 0],
    ],
    ['Cast', [vector(-1.9, 300, 0)], { to: int(2) }, [255, 44, 0]],
    ['Cast', [vector(-1.9, 0.5, 0)], { to: int(9) }, [1, 1, 0]],
    ['Clip', [vector(-5, 5), scalar('float32', 2), scalar('float32', 1)], {}, [1, 1]],
    ['ReduceMean', [matrix(2, 1, 2, 3, 5), int64s([-1])], {}, [1.5, 4]],
    ['ReduceSum', [matrix(2, 1, 2, 3, 5), int64s([])], { noop_with_empty_axes: int(1) }, [1, 2, 3, 5]],
    ['ReduceProd', [matrix(2, 1, 2, 3, 5)], { keepdims: int(0) }, [30]],
    ['ReduceMax', [image([0])], {}, [-Infinity]],
    ['Transpose', [matrix(3, 1, 2, 3, 4, 5, 6)], {}, [1, 4, 2, 5, 3, 6]],
    [
      'Slice',
      [vector(0, 1, 2, 3, 4), int64s([-1]), int64s([-100]), int64s([0]), int64s([-2])],
      {},
      [4, 2, 0],
    ],
    ['Tile', [matrix(2, 1, 2), int64s([2, 2])], {}, [1, 2, 1, 2, 1, 2, 1, 2]],
    ['Trilu', [matrix(3, 1, 2, 3, 4, 5, 6, 7, 8, 9)], { upper: int(0) }, [1, 0, 0, 4, 5, 0, 7, 8, 9]],
    ['Pad', [vector(1, 2, 3), int64s([2, 2])], { mode: string('reflect') }, [3, 2, 1, 2, 3, 2, 1]],
    ['Pad', [vector(1, 2, 3), int64s([-1, 2])], { mode: string('edge') }, [2, 3, 3, 3]],
    ['Pad', [matrix(2, 1, 2), int64s([1, 0]), scalar('float32', 9), int64s([1])], {}, [9, 1, 2]],
    ['Range', [scalar('float32', 1), scalar('float32', 2), scalar('float32', 0.5)], {}, [1, 1.5]],
    ['Gather', [matrix(2, 1, 2, 3, 4), int64s([-1, 0])], {}, [3, 4, 1, 2]],
    ['GatherND', [matrix(2, 1, 2, 3, 4), tensorOf('int64', [2, 1], [1, 0])], {}, [3, 4, 1, 2]],
    [
      'ScatterElements',
      [vector(1, 2, 3), int64s([1, 1]), vector(10, 20)],
      { reduction: string('add') },
      [1, 32, 3],
    ],
    ['ScatterND', [vector(1, 2, 3), tensorOf('int64', [1, 1], [2]), vector(9)], {}, [1, 2, 9]],
    ['OneHot', [int64s([1, -1, 5]), scalar('int64', 2), vector(0, 7)], {}, [0, 7, 0, 7, 0, 0]],
    ['MatMul', [vector(1, 2), matrix(2, 1, 2, 3, 4)], {}, [7, 10]],
    [
      'Gemm',
      [matrix(2, 1, 2), matrix(2, 3, 4), scalar('float32', 10)],
      { transB: int(1), alpha: float(2), beta: float(0.5) },
      [27],
    ],
    ['Conv', [image([1, 1, 4], 1, 2, 3, 4), image([1, 1, 2], 1, 10)], { dilations: ints([2]) }, [31, 42]],
    [
      'Conv',
      [image([1, 2, 2], 1, 2, 3, 4), image([2, 1, 1], 10, 100), vector(1, 2)],
      { group: int(2) },
      [11, 21, 302, 402],
    ],
    [
      'ConvTranspose',
      [image([1, 1, 2], 1, 2), image([1, 1, 3], 1, 10, 100)],
      { strides: ints([2]) },
      [1, 10, 102, 20, 200],
    ],
    [
      'AveragePool',
      [image([1, 1, 3], 1, 2, 6)],
      { kernel_shape: ints([2]), pads: ints([1, 0]) },
      [1, 1.5, 4],
    ],
    [
      'AveragePool',
      [image([1, 1, 3], 1, 2, 6)],
      { kernel_shape: ints([2]), pads: ints([1, 0]), count_include_pad: int(1) },
      [0.5, 1.5, 4],
    ],
    [
      'AveragePool',
      [image([1, 1, 3], 1, 2, 6)],
      { kernel_shape: ints([2]), strides: ints([2]), ceil_mode: int(1), count_include_pad: int(1) },
      [1.5, 6],
    ],
    ['GlobalAveragePool', [image([1, 2, 2], 1, 3, 5, 9)], {}, [2, 7]],
    ['Softmax', [matrix(2, 0, 0, 1000, 0)], {}, [0.5, 0.5, 1, 0]],
    ['LogSoftmax', [vector(1000, 1000)], {}, [-Math.LN2, -Math.LN2]],
    ['Where', [tensorOf('bool', [2], [1, 0]), vector(1, 2), scalar('float32', 5)], {}, [1, 5]],
  ];

TABLE.forEach(([operator, inputs, attributes, expected], i) => {
  t.test(`${operator} (${i})`, (t) => {
    const [result] = run(operator, inputs, attributes);
    t.equal(result!.length, expected.length);
    result!.forEach((x, at) =>
      t.ok(x === expected[at] || Math.abs(x - expected[at]!) < 1e-12, `${x} is ${expected[at]!}`),
    );
    t.end();
  });
});

t.test('operators of several outputs', (t) => {
  t.same(
    run('MaxPool', [image([1, 1, 4], 1, 3, 3, 2)], { kernel_shape: ints([2]) }, 2),
    [
      [3, 3, 3],
      [1, 1, 2],
    ],
    'the first of equals',
  );
  const square = image([1, 1, 2, 3], 1, 2, 3, 4, 5, 6);
  t.same(run('MaxPool', [square], { kernel_shape: ints([2, 3]), storage_order: int(1) }, 2), [[6], [5]]);
  t.same(
    run(
      'MaxPool',
      [image([1, 1, 5, 2], 1, 2, 3, 4, 9, 6, 7, 8, 5, 0)],
      { kernel_shape: ints([5, 2]), storage_order: int(1) },
      2,
    ),
    [[9], [2]],
  );
  t.same(
    run('TopK', [vector(1, 3, 3, 2), int64s([3])], {}, 2),
    [
      [3, 3, 2],
      [1, 2, 3],
    ],
    'equals in order of their index',
  );
  t.same(run('Split', [vector(1, 2, 3, 4, 5)], { num_outputs: int(2) }, 2), [
    [1, 2, 3],
    [4, 5],
  ]);
  const [y, mean, inverse] = run(
    'LayerNormalization',
    [vector(1, 3), vector(1, 2), vector(0, 1)],
    { epsilon: float(0) },
    3,
  );
  t.same([y, mean, inverse], [[-1, 3], [2], [1]]);
  const [normal, means, variances] = run(
    'BatchNormalization',
    [image([2, 1], 1, 3), vector(1), vector(0), vector(10), vector(20)],
    { epsilon: float(0), momentum: float(0.5), training_mode: int(1) },
    3,
  );
  t.same([normal, means, variances], [[-1, 1], [6], [10.5]]);
  t.end();
});

t.test('a mean loss over ignored ids only is not a number, as in PyTorch', (t) => {
  const [[loss]] = run('SoftmaxCrossEntropyLoss', [matrix(2, 1, 2), int64s([9])], {
    ignore_index: int(9),
  }) as [[number]];
  t.ok(Number.isNaN(loss));
  t.end();
});

t.test('operands of losses, PRelu and normalizations that do not fit are refused by what would', (t) => {
  t.throws(() => run('PRelu', [vector(1, 2), matrix(2, 1, 2, 3, 4)]), {
    message: /its slope is float32\[2,2\]/,
  });
  t.throws(() => run('NegativeLogLikelihoodLoss', [matrix(2, 1, 2), int64s([1, 1])]), {
    message: /\[1\] would be accepted/,
  });
  t.throws(() => run('NegativeLogLikelihoodLoss', [matrix(2, 1, 2), int64s([2])]), {
    message: /class id 2; 0 to 1 would be accepted/,
  });
  t.throws(
    () =>
      run('GroupNormalization', [matrix(3, 1, 2, 3), vector(1, 1, 1), vector(0, 0, 0)], {
        num_groups: int(2),
      }),
    {
      message: /a divisor of 3 would be accepted/,
    },
  );
  t.throws(() => run('LpNormalization', [vector(1)], { p: int(3) }), { message: /1 or 2 would be accepted/ });
  t.throws(() => run('RMSNormalization', [matrix(2, 1, 2), vector(1, 2, 3)]), { message: /broadcast/ });
  t.end();
});
