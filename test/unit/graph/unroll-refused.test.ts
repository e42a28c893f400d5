import t from 'tap';
import { bindGraph, ModelError, readModel } from '../../../graph/index.js';
import { any, body, BOOL, bool, INT64, int64, model } from './bodies.js';
import { int, ints, node, tensor, value, type GraphInit, type NodeInit } from './file.js';

const INPUTS = [value('i', [], INT64), value('c', [], BOOL), any('v')];
const looping = (trips: string, condition: string, more: NodeInit[] = [], goes = 'c'): GraphInit => ({
  node: [
    node('ReduceMax', ['x'], ['top'], [int('keepdims', 0)]),
    node('Cast', ['top'], ['number'], [int('to', INT64)]),
    node('Greater', ['top', 'half'], ['yes']),
    node(
      'Loop',
      [trips, condition, 'x'],
      ['y'],
      [
        body('body', {
          input: INPUTS,
          node: [node('Mul', ['v', 'w'], ['u']), ...more],
          output: [value(goes, [], BOOL), any('u')],
        }),
      ],
    ),
  ],
  initializer: [
    tensor('w', [4], [1, 2, 3, 4]),
    tensor('half', [], [0.5]),
    int64('huge', [], 2 ** 40),
    int64('three', [], 3),
  ],
});

const REFUSED: readonly (readonly [string, GraphInit, RegExp])[] = [
  [
    'trips that data decide',
    looping('number', ''),
    /"Loop:y" \(Loop\).*how often it runs depends on the data.*fixed length/,
  ],
  ['a start that data decide', looping('', 'yes'), /whether it runs at all depends on the data/],
  [
    'an end that data decide',
    looping(
      'three',
      '',
      [node('ReduceMax', ['u'], ['m'], [int('keepdims', 0)]), node('Less', ['m', 'half'], ['l'])],
      'l',
    ),
    /whether it goes on after run 1 depends on the data/,
  ],
  ['2^40 runs', looping('huge', ''), /runs 1099511627776 times/],
  ['no end', looping('', ''), /it runs for ever/],
  [
    '2^40 runs with a condition of its own',
    looping('huge', '', [node('Less', ['i', 'huge'], ['l'])], 'l'),
    /"Loop:y" .*more than 100000 nodes/,
  ],
  [
    'a branch that data decide',
    {
      node: [
        node('ReduceMax', ['x'], ['top'], [int('keepdims', 0)]),
        node('Greater', ['top', 'half'], ['yes']),
        node(
          'If',
          ['yes'],
          ['y'],
          [
            body('then_branch', { node: [node('Neg', ['x'], ['a'])], output: [any('a')] }),
            body('else_branch', { node: [node('Abs', ['x'], ['a'])], output: [any('a')] }),
          ],
        ),
      ],
      initializer: [tensor('half', [], [0.5])],
    },
    /node "If:y" \(If\).*its condition depends on the data.*Where/,
  ],
  [
    'a loop without a body',
    { node: [node('Loop', ['', '', 'x'], ['y'])] },
    /carries 1 values, and its body has 0 inputs/,
  ],
  [
    'a branch without branches',
    { node: [node('If', ['b'], ['y'])], initializer: [bool('b', true)] },
    /needs a then_branch/,
  ],
  [
    'a list as an output',
    { node: [node('SplitToSequence', ['x'], ['y'])] },
    /output "y" is a list of tensors/,
  ],
  [
    'a list of nothing',
    { node: [node('SplitToSequence', [''], ['s']), node('ConcatFromSequence', ['s'], ['y'])] },
    /"SplitToSequence:s".*its input has no axis 0/,
  ],
  [
    'an operator on a list',
    { node: [node('SplitToSequence', ['x'], ['s']), node('Neg', ['s'], ['y'])] },
    /"Neg:y" \(Neg\).*reads a list of tensors/,
  ],
  [
    'a place that a list lacks',
    {
      node: [node('SequenceConstruct', ['x', 'x'], ['s']), node('SequenceAt', ['s', 'p'], ['y'])],
      initializer: [int64('p', [], 2)],
    },
    /list of 2 tensors has no place 2/,
  ],
  [
    'a body elsewhere',
    { node: [node('Neg', ['x'], ['y'], [body('body', { node: [], output: [] })])] },
    /"Neg:y" \(Neg\).*it has a body/,
  ],
  [
    'scans of several lengths',
    {
      node: [
        node(
          'Scan',
          ['x', 'x'],
          ['y'],
          [
            body('body', {
              input: [any('a'), any('b')],
              node: [node('Identity', ['a'], ['o'])],
              output: [any('o')],
            }),
            int('num_scan_inputs', 2),
            ints('scan_input_axes', 0, 1),
          ],
        ),
      ],
    },
    /scanned inputs have the lengths 2, 3/,
  ],
];

for (const [what, graph, message] of REFUSED) {
  t.test(`refuses ${what}`, (t) => {
    const started = performance.now();
    const { graph: read } = readModel(model(graph));
    t.throws(() => bindGraph(read, { shapes: { x: [2, 3, 4] } }), { constructor: ModelError, message });
    t.ok(performance.now() - started < 20_000, 'in time');
    t.end();
  });
}

t.test('bodies in bodies beyond the cap are refused while reading', (t) => {
  let inner: GraphInit = { node: [node('Neg', ['x'], ['o'])], output: [any('o')] };
  for (let depth = 0; depth < 17; depth++) {
    inner = {
      node: [
        {
          ...(node(
            'If',
            ['b'],
            ['o'],
            [body('then_branch', inner), body('else_branch', { node: [] })],
          ) as object),
          name: `if ${depth}`,
        },
      ],
      output: [any('o')],
    };
  }
  const bytes = model({ ...inner, initializer: [bool('b', true)] });
  t.throws(() => readModel(bytes), { constructor: ModelError, message: /"Neg:o" .*16 branches and loops/ });
  t.end();
});
