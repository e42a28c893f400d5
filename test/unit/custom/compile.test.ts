import t from 'tap';
import { GraphBuilder, launchOf, customOf, standardOperators, withCustom } from '../../../graph/index.js';
import { inUsersTerms } from '../../../worker/engine/gpujs/kernels/index.js';
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
