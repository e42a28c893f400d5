import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from '../../../graph/onnx/gen/onnx_pb.js';
import { repositoryRoot } from '../../root.js';
import { any, body, INT64, int64, BOOL, model, recurrentLoop } from '../../unit/graph/bodies.js';
import { float, int, ints, node, tensor, value } from '../../unit/graph/file.js';

const FOLDER = join(repositoryRoot, 'test/fixtures/models');

/** A model whose blocks are functions, one within the other, with attributes. */
function withFunctions(): Uint8Array {
  const opsetImport = [
    { domain: '', version: 18n },
    { domain: 'pkg.test', version: 1n },
  ];
  const slope = { name: 'alpha', refAttrName: 'slope', type: 1 };
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 9n,
      producerName: 'pytorch',
      opsetImport,
      functions: [
        {
          domain: 'pkg.test',
          name: 'Leaky',
          opsetImport,
          input: ['v', 'low'],
          output: ['r'],
          attributeProto: [float('slope', 0.25)],
          node: [node('LeakyRelu', ['v'], ['a'], [slope]), node('Clip', ['a', 'low'], ['r'])],
        },
        {
          domain: 'pkg.test',
          name: 'Block',
          opsetImport,
          input: ['v', 'w'],
          output: ['out', 'hidden'],
          attribute: ['slope'],
          node: [
            node('MatMul', ['v', 'w'], ['hidden']),
            {
              ...(node('Leaky', ['hidden'], ['out'], [{ ...slope, name: 'slope' }]) as object),
              domain: 'pkg.test',
            },
          ],
        },
      ],
      graph: {
        name: 'g',
        input: [value('x', ['n', 3])],
        output: [value('y', ['n', 3])],
        initializer: [tensor('w', [3, 3], [1, 2, 3, -4, 5, 6, 7, -8, 9])],
        node: [
          { ...(node('Block', ['x', 'w'], ['h', ''], [float('slope', 0.5)]) as object), domain: 'pkg.test' },
          { ...(node('Block', ['h', 'w'], ['k', 'l']) as object), domain: 'pkg.test' },
          node('Add', ['k', 'l'], ['y']),
        ],
      },
    }),
  );
}

/** Lists, a scan, and branches that shapes decide. */
const withLists = (): Uint8Array =>
  model({
    node: [
      node('SplitToSequence', ['x'], ['steps'], [int('axis', 1), int('keepdims', 0)]),
      node('SequenceAt', ['steps', 'last'], ['h0']),
      node('SequenceInsert', ['steps', 'h0'], ['more']),
      node('SequenceLength', ['more'], ['count']),
      node('ConcatFromSequence', ['more'], ['stacked'], [int('axis', 0), int('new_axis', 1)]),
      node(
        'Scan',
        ['h0', 'stacked'],
        ['h', 'rows'],
        [
          body('body', {
            input: [any('s'), any('v')],
            node: [
              node('Mul', ['v', 'w'], ['p']),
              node('Add', ['s', 'p'], ['q']),
              node('Tanh', ['q'], ['row']),
            ],
            output: [any('q'), any('row')],
          }),
          int('num_scan_inputs', 1),
          ints('scan_output_axes', 1),
          ints('scan_output_directions', 1),
        ],
      ),
      node('Greater', ['count', 'three'], ['longer']),
      node(
        'If',
        ['longer'],
        ['y'],
        [
          body('then_branch', { node: [node('Mul', ['rows', 'w'], ['a'])], output: [any('a')] }),
          body('else_branch', {
            node: [
              node(
                'Loop',
                ['count', '', 'rows'],
                ['a'],
                [
                  body('body', {
                    input: [value('i', [], INT64), value('c', [], BOOL), any('z')],
                    node: [node('Mul', ['z', 'w'], ['z2']), node('Identity', ['c'], ['c2'])],
                    output: [value('c2', [], BOOL), any('z2')],
                  }),
                ],
              ),
            ],
            output: [any('a')],
          }),
        ],
      ),
    ],
    initializer: [int64('last', [], -1), int64('three', [], 3), tensor('w', [4], [0.5, -1, 2, 1.5])],
  });

/** A model to damage, and the input shapes to bind it to (a batch of 2 where there are none). */
export interface Specimen {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
}

/** Every model of the fixtures, and models with functions, loops, scans, branches and lists. */
export function specimens(): readonly Specimen[] {
  const shapes = { x: [2, 3, 4] };
  const files = readdirSync(FOLDER)
    .sort()
    .map((name) => ({ name, path: join(FOLDER, name, 'model.onnx') }))
    .filter(({ path }) => existsSync(path));
  return [
    ...files.map(({ name, path }) => ({ name, bytes: readFileSync(path) })),
    { name: 'functions', bytes: withFunctions() },
    { name: 'lists', bytes: withLists(), shapes },
    { name: 'loop', bytes: recurrentLoop(), shapes },
    { name: 'loop with a weight of its own', bytes: recurrentLoop({ inner: true, trips: true }), shapes },
  ];
}
