import t from 'tap';
import {
  GraphBuilder,
  launchOf,
  customOf,
  readOperator,
  standardOperators,
  withCustom,
} from '../../../graph/index.js';
import { inUsersTerms } from '../../../worker/engine/gpujs/kernels/index.js';
import { planOf } from '../../../worker/engine/gpujs/plan.js';
import { printKernel } from '../../../worker/engine/gpujs/kernels/custom-source.js';
import { rowSum } from './snake.js';

const builder = new GraphBuilder(standardOperators);
builder.input('x', { dtype: 'float32', shape: [4, 3] });
const [y] = builder.add('RowSum', ['x'], withCustom({}, { operator: rowSum.operator, part: 'forward' }), {
  domain: 'my.ops',
});
const graph = builder.build('one', [y!]);
const node = graph.nodes[0]!;

t.test('a kernel is written anew, with its extents as numbers', (t) => {
  const { kernel } = launchOf(customOf(node)!);
  const { source, reads, lines } = printKernel(kernel, { x_1: 3 });
  t.equal(
    source,
    [
      'function (a0_x) {',
      '  let v0_sum = 0;',
      '  for (let v1_j = 0; v1_j < 3; v1_j += 1) {',
      '    v0_sum = (v0_sum + a0_x[((this.thread.x * 3) + v1_j)]);',
      '  }',
      '  return v0_sum;',
      '}',
    ].join('\n'),
  );
  t.same(reads, [0]);
  t.equal(lines.length, 7);
  t.end();
});

t.test('a loop whose counter float32 cannot move is refused, and does not hang a device', (t) => {
  const shapes = { dtype: 'float32', shape: [4] } as const;
  const compile = (loop: string, attributes: Readonly<Record<string, number>> = {}) => {
    const operator = readOperator({
      domain: 'my.ops',
      name: 'Count',
      inputs: ['x'],
      attributes,
      forward: `function (x) {\n  let s = x[0];\n  if (s > 0) {\n  for (${loop}) { s += i; } }\n  return s;\n}`,
      gradient: { x: 'none' },
    });
    const g = new GraphBuilder(standardOperators);
    g.input('x', shapes);
    const custom = withCustom({}, { operator, part: 'forward' });
    const [made] = g.add('Count', ['x'], custom, { domain: 'my.ops' });
    return planOf(g.build('count', [made!]), 'wasm', 'gpujs');
  };
  for (const loop of [
    'let i = 0; i < 1e300; i++',
    'let i = 0; i < this.constants.x_size * 1e7; i++',
    'let i = -this.constants.far; i < 0; i++',
    'let i = 1; i < 3; i += 1e-9',
    'let i = 3e7; i > 0; i--',
  ])
    t.throws(
      () => compile(loop, { far: 2e7 }),
      /my\.ops\.Count.*forward, line 4: its loop counts from .* would be accepted/,
      loop,
    );
  for (const loop of [
    'let i = 0; i < 16777216; i++',
    'let i = this.thread.x; i < 4; i++',
    'let i = 0; i < this.constants.x_0; i += 0.5',
  ])
    t.doesNotThrow(() => compile(loop), loop);
  t.end();
});

t.test('what gpu.js says of a kernel is said of the user’s line', (t) => {
  const typeOf = (value: string) => graph.types.get(value)!;
  const { kernel } = launchOf(customOf(node)!);
  const { lines } = printKernel(kernel, { x_1: 3 });
  const line = lines[3]!;
  const told = inUsersTerms(node, 'something is wrong on line 4, position 9', typeOf)!;
  t.match(told, `operator my.ops.RowSum: forward, line ${line}: something is wrong`);
  t.ok(told.includes(kernel.source.split('\n')[line - 1]!.trimEnd().slice(0, 40)), 'with its text');
  t.match(inUsersTerms(node, 'no device', typeOf), /^operator my\.ops\.RowSum: forward: no device\n/);
  t.equal(inUsersTerms({ ...node, attributes: {} }, 'no device', typeOf), undefined);
  t.end();
});
