/**
 * Convolution gradients in each of their forms, by class of shapes: what graph/gradient/rules/convolution*.ts choose
 * from. One thread, median milliseconds of the whole form; the chosen one is starred.
 *
 * usage: node dist/bench/convolution-gradients.js [--runs 15] [--only TEXT] [--json]
 */
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { median } from '../base/index.js';
import { Formula } from '../graph/formula/index.js';
import { convolutionForms } from '../graph/gradient/index.js';
import {
  attribute,
  emptyData,
  GraphBuilder,
  sizeOf,
  standardOperators,
  writeTypedGraph,
  type Attributes,
  type TypedGraph,
} from '../graph/index.js';
import { tidy } from '../graph/passes/index.js';

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '15' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});

interface Class {
  readonly name: string;
  /** [N, C, ...space] */
  readonly x: readonly number[];
  readonly outputs: number;
  readonly kernel: readonly number[];
  readonly stride: number;
  readonly pad: number;
  readonly groups: number;
}

const shapes = (
  name: string,
  x: readonly number[],
  outputs: number,
  kernel: readonly number[],
  { stride = 1, pad = 0, groups = 1 } = {},
): Class => ({ name, x, outputs, kernel, stride, pad, groups });

const CLASSES: readonly Class[] = [
  shapes('3x3, 16 channels, 32x32', [32, 16, 32, 32], 16, [3, 3], { pad: 1 }),
  shapes('3x3, 32 channels, 16x16', [32, 32, 16, 16], 32, [3, 3], { pad: 1 }),
  shapes('3x3, 64 channels, 8x8', [32, 64, 8, 8], 64, [3, 3], { pad: 1 }),
  shapes('3x3, 64 channels, 32x32', [32, 64, 32, 32], 64, [3, 3], { pad: 1 }),
  shapes('3x3, 128 channels, 14x14', [8, 128, 14, 14], 128, [3, 3], { pad: 1 }),
  shapes('3x3, 256 channels, 4x4', [32, 256, 4, 4], 256, [3, 3], { pad: 1 }),
  shapes('3x3, 512 channels, 7x7', [8, 512, 7, 7], 512, [3, 3], { pad: 1 }),
  shapes('3x3 stride 2, 16 to 32', [32, 16, 32, 32], 32, [3, 3], { stride: 2, pad: 1 }),
  shapes('3x3, 3 to 16 (first layer)', [32, 3, 32, 32], 16, [3, 3], { pad: 1 }),
  shapes('7x7 stride 2, 3 to 32 (first layer)', [8, 3, 64, 64], 32, [7, 7], { stride: 2, pad: 3 }),
  shapes('5x5, 6 to 16', [64, 6, 14, 14], 16, [5, 5]),
  shapes('1x1, 64 to 128', [32, 64, 16, 16], 128, [1, 1]),
  shapes('1x1 stride 2, 64 to 128', [32, 64, 16, 16], 128, [1, 1], { stride: 2 }),
  shapes('1x1, 256 to 512, 7x7', [16, 256, 7, 7], 512, [1, 1]),
  shapes('3x3, 64 channels in 4 groups', [32, 64, 16, 16], 64, [3, 3], { pad: 1, groups: 4 }),
  shapes('3x3 depthwise, 96', [32, 96, 16, 16], 96, [3, 3], { pad: 1, groups: 96 }),
  shapes('3x3 depthwise stride 2, 96', [32, 96, 16, 16], 96, [3, 3], { stride: 2, pad: 1, groups: 96 }),
  shapes('5, 64 channels, 128 long', [32, 64, 128], 64, [5], { pad: 2 }),
  shapes('3x3x3, 8 to 16', [8, 8, 8, 16, 16], 16, [3, 3, 3], { pad: 1 }),
];

interface Row {
  readonly shapes: string;
  readonly gigaflops: number;
  readonly forward: number;
  readonly gradients: readonly {
    readonly gradient: 'input' | 'weight';
    readonly form: string;
    readonly chosen: boolean;
    readonly milliseconds: number;
  }[];
}

async function milliseconds(graph: TypedGraph): Promise<number> {
  const session = await ort.InferenceSession.create(writeTypedGraph(graph), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
  });
  const feeds = Object.fromEntries(
    graph.inputs.map((name) => {
      const { shape } = graph.types.get(name)!;
      const data = emptyData('float32', sizeOf(shape)) as Float32Array;
      return [
        name,
        new ort.Tensor(
          'float32',
          data.map((_, i) => Math.sin(i)),
          shape,
        ),
      ];
    }),
  );
  const times: number[] = [];
  for (let run = 0; run < Number(options.runs) + 2; run++) {
    const start = performance.now();
    await session.run(feeds);
    if (run >= 2) times.push(performance.now() - start);
  }
  await session.release();
  return median(times);
}

function attributesOf({ kernel, stride, pad, groups }: Class): Attributes {
  return {
    kernel_shape: attribute.ints(kernel),
    strides: attribute.ints(kernel.map(() => stride)),
    pads: attribute.ints([...kernel, ...kernel].map(() => pad)),
    group: attribute.int(groups),
  };
}

async function measure(each: Class): Promise<Row> {
  const [batch, channels, ...space] = each.x as [number, number, ...number[]];
  const out = space.map(
    (length, i) => Math.floor((length + 2 * each.pad - each.kernel[i]!) / each.stride) + 1,
  );
  const weight = [each.outputs, channels / each.groups, ...each.kernel];
  const build = async (write: (f: Formula, x: string, w: string, dy: string) => string) => {
    const builder = new GraphBuilder(standardOperators);
    const [x, w, dy] = [
      builder.input('x', { dtype: 'float32', shape: each.x }),
      builder.input('w', { dtype: 'float32', shape: weight }),
      builder.input('dy', { dtype: 'float32', shape: [batch, each.outputs, ...out] }),
    ];
    const graph = tidy(builder.build('form', [write(new Formula(builder), x, w, dy)]));
    const used = new Set(graph.nodes.flatMap((node) => node.inputs));
    return milliseconds({ ...graph, inputs: graph.inputs.filter((name) => used.has(name)) });
  };
  const forward = await build((f, x, w) => f.one('Conv', [x, w], attributesOf(each)));
  const gradients: Row['gradients'][number][] = [];
  for (const { gradient, name, chosen, write } of convolutionForms(attributesOf(each), each.x, weight, out)) {
    gradients.push({ gradient, form: name, chosen, milliseconds: await build(write) });
  }
  return {
    shapes: each.name,
    gigaflops: (2 * batch * sizeOf(out) * sizeOf(weight)) / 1e9,
    forward,
    gradients,
  };
}

const rows: Row[] = [];
for (const each of CLASSES.filter(({ name }) => name.includes(options.only))) {
  const row = await measure(each);
  rows.push(row);
  if (options.json) continue;
  const cells = row.gradients.map(
    ({ gradient, form, chosen, milliseconds: ms }) =>
      `${gradient}:${form} ${ms.toFixed(2)}${chosen ? '*' : ''}`,
  );
  console.log(
    `${row.shapes.padEnd(36)} ${row.gigaflops.toFixed(3)} GFLOP  forward ${row.forward.toFixed(2)}  ${cells.join('  ')}`,
  );
}
if (options.json) console.log(JSON.stringify(rows));
