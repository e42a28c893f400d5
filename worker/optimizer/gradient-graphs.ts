import {
  attribute,
  GraphBuilder,
  sizeOf,
  standardOperators,
  type TensorType,
  type TypedGraph,
} from '../../graph/index.js';
import { Formula } from '../../graph/formula/index.js';

/** Sums of so many terms at most are added up one after the other in float32: more lose digits. */
const MOST_TERMS = 1024;

/** A row shorter than this is not worth a pass of its own. */
const FEWEST_TERMS = 8;

/** The sum of squares of some gradients, inputs 0, 1, ..., as a scalar: pairwise, so that its rounding is that of a few additions. */
export function squaresGraph(gradients: readonly TensorType[]): TypedGraph {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const inputs = gradients.map(({ shape }, i) => builder.input(String(i), { dtype: 'float32', shape }));
  let sums = inputs.map((x) => squaresOf(f, x));
  while (sums.length > 1) {
    const pairs: string[] = [];
    for (let i = 0; i < sums.length; i += 2) {
      const [a, b] = [sums[i]!, sums[i + 1]];
      pairs.push(b === undefined ? a : f.add(a, b));
    }
    sums = pairs;
  }
  return builder.build('sum of squares', [sums[0]!]);
}

/** Gradients 0, 1, ... so far, and as many more, added up. */
export function sumGraph(gradients: readonly TensorType[]): TypedGraph {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const input = (name: string, { shape }: TensorType) => builder.input(name, { dtype: 'float32', shape });
  const sums = gradients.map((type, i) => [input(`sum ${i}`, type), input(`more ${i}`, type)] as const);
  return builder.build(
    'sum of gradients',
    sums.map(([sum, more]) => f.add(sum, more)),
  );
}

function squaresOf(f: Formula, x: string): string {
  let rest = sizeOf(f.shapeOf(x));
  if (rest === 1) return f.reshape(f.mul(x, x), []);
  let operator = 'ReduceSumSquare';
  let value = x;
  while (rest > 1) {
    const row = rowOf(rest);
    rest /= row;
    const rows = f.reshape(value, [rest, row]);
    value = f.one(operator, [rows, f.int64s([1])], { keepdims: attribute.int(0) });
    operator = 'ReduceSum';
  }
  return f.reshape(value, []);
}

/** The longest row in which so many terms can be laid out; all of them where there is none worth it. */
function rowOf(terms: number): number {
  if (terms <= MOST_TERMS) return terms;
  for (let row = MOST_TERMS; row >= FEWEST_TERMS; row--) if (terms % row === 0) return row;
  return terms;
}
