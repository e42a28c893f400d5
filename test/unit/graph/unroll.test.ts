import t, { type Test } from 'tap';
import {
  bindGraph,
  buildEvaluationGraph,
  buildTrainingGraph,
  evaluate,
  readModel,
  tensorOf,
  toReference,
  UnsupportedOperatorError,
  unsupportedOperators,
  withParameters,
  writeGraph,
  writeTypedGraph,
  type Tensor,
} from '../../../graph/index.js';
import { distance, runModel } from '../../property/graph/onnxruntime.js';
import { any, body, BOOL, bool, INT64, int64, model, recurrentLoop } from './bodies.js';
import { int, ints, node, tensor, value } from './file.js';

const X = tensorOf(
  'float32',
  [2, 3, 4],
  Float32Array.from({ length: 24 }, (_, i) => Math.sin(i + 1)),
);

/** What the bound graph gives in onnxruntime and in the reference is what onnxruntime makes of the file itself. */
async function sameAsFile(t: Test, bytes: Uint8Array, x: Tensor = X): Promise<void> {
  const { graph } = readModel(bytes);
  const shapes = { x: [...x.shape] };
  const typed = bindGraph(graph, { shapes });
  const feeds = new Map([['x', x], ...graph.parameters]);
  const expected = await runModel(bytes, new Map([['x', x]]));
  const found = await runModel(writeTypedGraph(typed), feeds);
  const reference = evaluate(typed, new Map([...feeds].map(([name, each]) => [name, toReference(each)])));
  for (const [name, result] of expected) {
    t.same(found.get(name)!.shape, result.shape, `${name}: shape`);
    t.ok(distance(found.get(name)!, result) < 1e-6, `${name}: onnxruntime`);
    t.ok(distance(reference.get(name)!, result) < 1e-5, `${name}: reference`);
  }
  const again = readModel(writeGraph(graph)).graph;
  t.same(
    bindGraph(again, { shapes }).nodes.length,
    typed.nodes.length,
    'written and read again it is the same',
  );
}

t.test('If: the branch that shapes decide', async (t) => {
  // PyTorch writes x.squeeze(1) so: Squeeze where the axis has length 1.
  const bytes = model({
    node: [
      node('Shape', ['x'], ['shape']),
      node('Gather', ['shape', 'one'], ['length'], [int('axis', 0)]),
      node('Equal', ['length', 'one'], ['is_one']),
      node(
        'If',
        ['is_one'],
        ['s'],
        [
          body('then_branch', {
            node: [node('Squeeze', ['x', 'axes'], ['squeezed'])],
            output: [any('squeezed')],
          }),
          body('else_branch', { node: [node('Identity', ['x'], ['same'])], output: [any('same')] }),
        ],
      ),
      node('Mul', ['s', 'w'], ['y']),
    ],
    initializer: [int64('one', [], 1), int64('axes', [1], 1), tensor('w', [4], [1, 2, 3, 4])],
  });
  await sameAsFile(t, bytes);
  await sameAsFile(t, bytes, tensorOf('float32', [2, 1, 4], [1, 2, 3, 4, 5, 6, 7, 8]));
  t.equal(bindGraph(readModel(bytes).graph, { shapes: { x: [2, 3, 4] } }).nodes.length, 1);
});

t.test('the branch that does not run may hold what dtrain lacks', (t) => {
  const bytes = model({
    node: [
      node(
        'If',
        ['no'],
        ['s'],
        [
          body('then_branch', { node: [node('Unheard', ['x'], ['a'])], output: [any('a')] }),
          body('else_branch', { node: [node('Neg', ['x'], ['a'])], output: [any('a')] }),
        ],
      ),
      node('Mul', ['s', 'w'], ['y']),
    ],
    initializer: [bool('no', false), tensor('w', [4], [1, 2, 3, 4])],
  });
  const { graph } = readModel(bytes);
  t.equal(bindGraph(graph, { batch: 2, shapes: { x: [2, 3, 4] } }).nodes[0]!.operator, 'Neg');
  const yes = { ...graph, constants: new Map(graph.constants).set('no', tensorOf('bool', [], [1])) };
  t.throws(() => bindGraph(yes, { shapes: { x: [2, 3, 4] } }), {
    constructor: UnsupportedOperatorError,
    message: /Unheard \(Unheard:a\)/,
  });
  t.end();
});

t.test('Loop: a recurrent layer as tf2onnx writes it', async (t) => {
  await sameAsFile(t, recurrentLoop());
  await sameAsFile(t, recurrentLoop({ trips: true }));
  const { graph } = readModel(recurrentLoop());
  t.same([...graph.parameters.keys()], ['kernel', 'recurrent']);
  t.same(unsupportedOperators(graph), []);
  const typed = bindGraph(graph, { shapes: { x: [2, 3, 4] } });
  t.equal(typed.nodes.filter(({ operator }) => operator === 'Tanh').length, 3, 'one for each step');
  t.ok(typed.nodes.some(({ name }) => name === 'Loop:steps/2/Tanh:next'));
  t.notOk(
    typed.nodes.some(({ operator }) => operator === 'Less'),
    'no condition is left',
  );
});

t.test('parameters of a loop are tied over its runs: their gradients are differences', (t) => {
  for (const inner of [false, true]) {
    const { graph } = readModel(recurrentLoop({ inner }));
    const weight = inner ? 'inner' : 'recurrent';
    t.same([...graph.parameters.keys()].sort(), ['kernel', weight].sort());
    const options = { loss: 'mse' as const, shapes: { x: [2, 3, 4] } };
    const training = buildTrainingGraph(graph, options);
    t.ok(training.graph.nodes.every(({ domain }) => domain === ''));
    const evaluation = buildEvaluationGraph(graph, options);
    const target = tensorOf('float32', training.target.type.shape, [0.5, -0.5, 1, 0.25]);
    const given = (moved?: readonly [string, number, number]) => {
      const values = new Map(
        [['x', X] as const, ...graph.parameters, [training.target.name, target] as const].map(
          ([name, each]) => [name, toReference(each)] as const,
        ),
      );
      if (moved) values.get(moved[0])!.data[moved[1]]! += moved[2];
      return values.set('loss_scale', toReference(tensorOf('float32', [], [1])));
    };
    const values = evaluate(training.graph, given());
    for (const [parameter, gradient] of training.gradients) {
      values.get(gradient)!.data.forEach((found, i) => {
        const at = (by: number) =>
          evaluate(evaluation.graph, given([parameter, i, by])).get(evaluation.loss)!.data[0]!;
        t.ok(Math.abs((at(1e-5) - at(-1e-5)) / 2e-5 - found) < 1e-7, `${parameter}[${i}]`);
      });
    }
  }
  t.end();
});

t.test('a parameter inside of a body comes back in the exported model', (t) => {
  const read = readModel(recurrentLoop({ inner: true }));
  const moved = tensorOf('float32', [2, 2], [9, 8, 7, 6]);
  const again = readModel(withParameters(read, new Map([['inner', moved]])));
  t.same([...again.graph.parameters.get('inner')!.data], [9, 8, 7, 6]);
  t.same([...read.graph.parameters.get('inner')!.data], [0.5, -0.25, 0.75, 1]);
  t.end();
});

t.test('loops in loops, branches in loops, names that siblings share', async (t) => {
  await sameAsFile(
    t,
    model({
      node: [
        node(
          'Loop',
          ['three', '', 'x'],
          ['out', 'rows'],
          [
            body('body', {
              input: [value('i', [], INT64), value('c', [], BOOL), any('v')],
              node: [
                node('Equal', ['i', 'one'], ['middle']),
                node(
                  'If',
                  ['middle'],
                  ['u'],
                  [
                    body('then_branch', { node: [node('Neg', ['v'], ['r'])], output: [any('r')] }),
                    body('else_branch', {
                      node: [
                        node(
                          'Loop',
                          ['two', 'c', 'v'],
                          ['r'],
                          [
                            body('body', {
                              input: [value('j', [], INT64), value('d', [], BOOL), any('z')],
                              node: [node('Mul', ['z', 'w'], ['z2'])],
                              output: [value('d', [], BOOL), any('z2')],
                            }),
                          ],
                        ),
                      ],
                      output: [any('r')],
                    }),
                  ],
                ),
                node('ReduceMean', ['u'], ['mean'], [ints('axes', 0, 1), int('keepdims', 0)]),
                node('Identity', ['c'], ['c2']),
              ],
              output: [value('c2', [], BOOL), any('u'), any('mean')],
            }),
          ],
        ),
        node('Add', ['out', 'out'], ['y']),
      ],
      output: [any('y'), any('rows')],
      initializer: [
        int64('three', [], 3),
        int64('two', [], 2),
        int64('one', [], 1),
        tensor('w', [4], [0.5, -1, 2, 1.5]),
      ],
    }),
  );
  t.end();
});

t.test('Scan: axes, directions, states and stacked outputs', async (t) => {
  for (const [inputAxis, direction] of [
    [1, 0],
    [-2, 1],
  ] as const) {
    await sameAsFile(
      t,
      model({
        node: [
          node(
            'Scan',
            ['h0', 'x'],
            ['h', 'y', 'z'],
            [
              body('body', {
                input: [value('s', [2, 4]), value('v', [2, 4])],
                node: [
                  node('Mul', ['v', 'w'], ['p']),
                  node('Add', ['s', 'p'], ['q']),
                  node('Identity', ['q'], ['row']),
                  node('ReduceSum', ['q', 'axis1'], ['sum'], [int('keepdims', 0)]),
                ],
                output: [value('q', [2, 4]), value('row', [2, 4]), value('sum', [2])],
              }),
              int('num_scan_inputs', 1),
              ints('scan_input_axes', inputAxis),
              ints('scan_input_directions', direction),
              ints('scan_output_axes', 1, -1),
              ints('scan_output_directions', 0, 1),
            ],
          ),
        ],
        output: [any('h'), any('y'), any('z')],
        initializer: [
          tensor('h0', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
          tensor('w', [4], [0.5, -1, 2, 1.5]),
          int64('axis1', [1], 1),
        ],
      }),
    );
  }
  t.end();
});

t.test('lists of tensors: made, changed, split, joined', (t) => {
  const initializer = [
    int64('two', [], 2),
    int64('last', [], -1),
    int64('zero', [], 0),
    int64('axis1', [1], 1),
    int64('sizes', [3], 1, 1, 1),
    int64('halves', [2], 2, 2),
    tensor('extra', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
  ];
  const output = [any('y'), any('z'), any('joined'), value('count', [], INT64)];
  const lists = [
    node('SplitToSequence', ['x'], ['steps'], [int('axis', 1), int('keepdims', 0)]),
    node('SplitToSequence', ['x', 'two'], ['pairs'], [int('axis', -1)]),
    node('SequenceAt', ['pairs', 'last'], ['z']),
    node('SequenceLength', ['steps'], ['count']),
    node('SequenceErase', ['steps', 'zero'], ['fewer']),
    node('SequenceInsert', ['fewer', 'extra', 'last'], ['more']),
    node('ConcatFromSequence', ['more'], ['stacked'], [int('axis', 1), int('new_axis', 1)]),
    node('ConcatFromSequence', ['more'], ['joined'], [int('axis', -1)]),
    node('SequenceConstruct', ['stacked', 'stacked'], ['both']),
    node('SequenceAt', ['both', 'zero'], ['y']),
  ];
  const plain = [
    node('Split', ['x', 'sizes'], ['', 's1', 's2'], [int('axis', 1)]),
    node('Unsqueeze', ['extra', 'axis1'], ['e']),
    node('Concat', ['s1', 'e', 's2'], ['y'], [int('axis', 1)]),
    node('Split', ['x', 'halves'], ['', 'z'], [int('axis', -1)]),
    node('Squeeze', ['s1', 'axis1'], ['v1']),
    node('Squeeze', ['s2', 'axis1'], ['v2']),
    node('Concat', ['v1', 'extra', 'v2'], ['joined'], [int('axis', -1)]),
    node('Constant', [], ['count'], [int('value_int', 3)]),
  ];
  const results = [lists, plain].map((nodes) => {
    const { graph } = readModel(model({ node: nodes, output, initializer }));
    const values = new Map([['x', X] as const, ...graph.parameters]);
    return evaluate(
      bindGraph(graph, { shapes: { x: [2, 3, 4] } }),
      new Map([...values].map(([name, each]) => [name, toReference(each)])),
    );
  });
  t.same(results[0], results[1]);
  t.end();
});

t.test('a list that a loop grows, as PyTorch writes a comprehension', (t) => {
  const bytes = model({
    node: [
      node('SplitToSequence', ['x'], ['steps'], [int('axis', 1), int('keepdims', 0)]),
      node('SequenceLength', ['steps'], ['count']),
      node('SequenceEmpty', [], ['empty']),
      node(
        'Loop',
        ['count', '', 'empty'],
        ['rows'],
        [
          body('body', {
            input: [value('i', [], INT64), value('c', [], BOOL), { name: 'list' }],
            node: [
              node('SequenceAt', ['steps', 'i'], ['step']),
              node('Mul', ['step', 'w'], ['scaled']),
              node('SequenceInsert', ['list', 'scaled'], ['longer']),
              node('Identity', ['c'], ['c2']),
            ],
            output: [value('c2', [], BOOL), { name: 'longer' }],
          }),
        ],
      ),
      node('ConcatFromSequence', ['rows'], ['y'], [int('axis', 1), int('new_axis', 1)]),
    ],
    initializer: [tensor('w', [4], [0.5, -1, 2, 1.5])],
  });
  const { graph } = readModel(bytes);
  const typed = bindGraph(graph, { shapes: { x: [2, 3, 4] } });
  const values = new Map(
    [['x', X] as const, ...graph.parameters].map(([k, v]) => [k, toReference(v)] as const),
  );
  const y = evaluate(typed, values).get('y')!;
  t.same(y.shape, [2, 3, 4]);
  t.same(
    [...y.data],
    Array.from(X.data as Float32Array, (each, i) => each * [0.5, -1, 2, 1.5][i % 4]!),
  );
  t.same(unsupportedOperators(graph), []);
  t.end();
});

t.test('a loop that never runs hands its values through, and stacks nothing', async (t) => {
  await sameAsFile(
    t,
    model({
      node: [
        node(
          'Loop',
          ['zero', '', 'x'],
          ['v', 'rows'],
          [
            body('body', {
              input: [value('i', [], INT64), value('c', [], BOOL), value('s', ['b', 't', 4])],
              node: [
                node('Neg', ['s'], ['n']),
                node('Identity', ['c'], ['c2']),
                node('Identity', ['w'], ['row']),
              ],
              output: [value('c2', [], BOOL), value('n', ['b', 't', 4]), value('row', [4])],
            }),
          ],
        ),
        node('Neg', ['v'], ['y']),
      ],
      output: [any('y'), any('rows')],
      initializer: [int64('zero', [], 0), tensor('w', [4], [0.5, -1, 2, 1.5])],
    }),
  );
  t.end();
});

t.test('Dropout in a loop has a mask for each run, and none outside of training', (t) => {
  const { graph } = readModel(
    model({
      node: [
        node(
          'Loop',
          ['three', '', 'x'],
          ['y'],
          [
            body('body', {
              input: [value('i', [], INT64), value('c', [], BOOL), any('v')],
              node: [
                node('Mul', ['v', 'w'], ['u']),
                node('Dropout', ['u'], ['d']),
                node('Identity', ['c'], ['c2']),
              ],
              output: [value('c2', [], BOOL), any('d')],
            }),
          ],
        ),
      ],
      initializer: [int64('three', [], 3), tensor('w', [4], [0.5, -1, 2, 1.5])],
    }),
  );
  const options = { loss: 'mse' as const, shapes: { x: [2, 3, 4] } };
  const training = buildTrainingGraph(graph, options);
  t.same(
    training.dropout.map(({ shape, ratio }) => [shape, ratio]),
    [1, 2, 3].map(() => [[2, 3, 4], 0.5]),
  );
  t.notOk(buildEvaluationGraph(graph, options).graph.nodes.some(({ operator }) => operator === 'Dropout'));
  t.end();
});
