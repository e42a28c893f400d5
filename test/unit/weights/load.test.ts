import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  checkWeights,
  int64s,
  loadWeights,
  tensorOf,
  writeSafetensors,
  type Graph,
  type MatchRules,
  type Tensor,
} from '../../../graph/index.js';
import { numberToBfloat16, numberToFloat16 } from '../../../graph/ir/half.js';
import { SafetensorsFile } from '../../../graph/weights/file.js';

const strict: MatchRules = { rename: [], skip: [], allowMissing: false, allowUnexpected: false };

/** A model of which only the names and values matter. Two constants are one tensor, as PyTorch's exporter merges them. */
function graph(): Graph {
  const identity = { operator: 'Identity', domain: '', attributes: {} };
  return {
    name: 'test',
    inputs: [],
    outputs: [],
    nodes: [
      { ...identity, name: 'i', inputs: ['bn1.running_mean'], outputs: ['bn2.running_mean'] },
      { ...identity, name: 'j', inputs: ['fc.weight'], outputs: ['tied.weight'] },
    ],
    parameters: new Map([
      ['fc.weight', tensorOf('float32', [2, 3], [0, 0, 0, 0, 0, 0])],
      ['fc.bias', tensorOf('float32', [2], [7, 8])],
    ]),
    constants: new Map<string, Tensor>([
      ['bn1.running_mean', tensorOf('float32', [2], [0, 0])],
      ['axes', int64s([1])],
    ]),
  };
}

const weight = tensorOf('float32', [2, 3], [1, 2, 3, 4, 5, 6]);
const bias = tensorOf('float32', [2], [-1, -2]);
const full = new Map<string, Tensor>([
  ['fc.weight', weight],
  ['fc.bias', bias],
]);

function file(t: Test, tensors: ReadonlyMap<string, Tensor> | Uint8Array): string {
  const path = join(t.testdir(), 'w.safetensors');
  writeFileSync(path, tensors instanceof Uint8Array ? tensors : writeSafetensors(tensors));
  return path;
}

const load = async (t: Test, tensors: ReadonlyMap<string, Tensor>, rules: Partial<MatchRules> = {}) =>
  loadWeights(graph(), file(t, tensors), { ...strict, ...rules }, 'weights');
const values = ({ graph }: { graph: Graph }, name: string) => [
  ...((graph.parameters.get(name) ?? graph.constants.get(name))!.data as Float32Array),
];
const refused = async (
  t: Test,
  tensors: ReadonlyMap<string, Tensor> | Uint8Array,
  message: RegExp,
  rules: Partial<MatchRules> = {},
) => {
  const path = file(t, tensors);
  await t.rejects(checkWeights(graph(), path, { ...strict, ...rules }, 'weights'), {
    family: 'user',
    code: 'bad_weights',
    message,
  });
};

t.test('by name, in place', async (t) => {
  const own = graph();
  const before = own.parameters.get('fc.weight')!.data;
  const loaded = await loadWeights(own, file(t, full), strict, 'weights');
  t.equal(loaded.graph.parameters.get('fc.weight')!.data, before);
  t.same(values(loaded, 'fc.weight'), [1, 2, 3, 4, 5, 6]);
  t.same(values(loaded, 'fc.bias'), [-1, -2]);
  t.equal(loaded.constants.size, 0);
});

t.test('running statistics too, each its own; counters and integers are left alone', async (t) => {
  const loaded = await load(
    t,
    new Map([
      ...full,
      ['bn1.running_mean', tensorOf('float32', [2], [1, 2])],
      ['bn2.running_mean', tensorOf('float32', [2], [3, 4])],
      ['bn1.num_batches_tracked', tensorOf('int64', [], [9])],
      ['axes', int64s([5])],
    ]),
  );
  t.same(values(loaded, 'bn1.running_mean'), [1, 2]);
  t.same(values(loaded, 'bn2.running_mean'), [3, 4]);
  t.same([...loaded.constants.keys()], ['bn1.running_mean', 'bn2.running_mean']);
  t.same(
    loaded.graph.nodes.map(({ name }) => name),
    ['j'],
    'nobody else gives the value',
  );
  t.same(loaded.graph.constants.get('axes')!.data, BigInt64Array.of(1n));
});

t.test('other float types are rounded to float32, over several pieces', async (t) => {
  const size = 300_000; // more than a piece of float64
  const exact = Float64Array.from({ length: size }, (_, i) => Math.sin(i) * 3);
  const bits = (code: (value: number) => number) => Uint16Array.from(exact, code);
  const stored: Tensor[] = [
    { dtype: 'float64', shape: [size], data: exact },
    { dtype: 'float16', shape: [size], data: bits(numberToFloat16) },
    { dtype: 'bfloat16', shape: [size], data: bits(numberToBfloat16) },
  ];
  for (const [i, tensor] of stored.entries()) {
    const opened = await SafetensorsFile.open(file(t, new Map([['x', tensor]])), 'weights');
    const target = new Float32Array(size);
    await opened.read(opened.entries[0]!, target);
    await opened.close();
    const error = target.reduce((most, value, at) => Math.max(most, Math.abs(value - exact[at]!)), 0);
    t.ok(error <= [3 * 2 ** -24, 3 * 2 ** -11, 3 * 2 ** -8][i]!, `${tensor.dtype}: ${error}`);
  }
});

t.test('what does not fit is listed, with the closest names', async (t) => {
  await refused(
    t,
    new Map([
      ['fc.wieght', weight],
      ['fc.bias', tensorOf('float32', [1], [1])],
    ]),
    /^weights: it does not fit the model: 1 missing from the file: "fc.weight" \(closest: "fc.wieght"\); 1 unexpected in the file: "fc.wieght" \(closest: "fc.weight"\); 1 unlike those of the model: "fc.bias" is float32\[1\] in the file and float32\[2\] in the model\. Names go by rename/,
  );
  await refused(
    t,
    new Map([...full, ['fc.bias', tensorOf('int64', [2], [1, 2])]]),
    /"fc.bias" is int64\[2\]/,
  );
  await refused(
    t,
    new Map([...full, ['tied.weight', weight]]),
    /1 unexpected in the file: "tied.weight" \(in the model one tensor with "fc.weight"\)/,
  );
  const many = Array.from({ length: 7 }, (_, i): [string, Tensor] => [`extra.${i}`, bias]);
  await refused(t, new Map([...full, ...many]), /7 unexpected in the file: .*, and 2 more/);
  await refused(t, new Map(many), /no tensor of the file has the name/, {
    allowMissing: true,
    allowUnexpected: true,
  });
});

t.test('rename, skip and what is allowed', async (t) => {
  const prefixed = new Map([...full].map(([name, tensor]) => [`model.${name}`, tensor]));
  t.same(values(await load(t, prefixed, { rename: [['model.', '']] }), 'fc.bias'), [-1, -2]);
  const longest: MatchRules['rename'] = [
    ['model.', 'no.'],
    ['model.fc.', 'fc.'],
  ];
  t.same(values(await load(t, prefixed, { rename: longest }), 'fc.bias'), [-1, -2]);
  const two = new Map([...full, ['old.bias', bias]]);
  await refused(t, two, /rename makes "fc.bias" of both "fc.bias" and "old.bias"/, {
    rename: [['old.', 'fc.']],
  });
  await refused(t, full, /rename: no name in the file begins with "modle"/, { rename: [['modle', '']] });

  const nine = tensorOf('float32', [9], new Array<number>(9).fill(1));
  const skipped = await load(t, new Map([...full, ['fc.bias', nine]]), { skip: ['*.bias'] });
  t.same(values(skipped, 'fc.bias'), [7, 8], 'of the model');
  t.same(values(skipped, 'fc.weight'), [1, 2, 3, 4, 5, 6]);
  await refused(t, full, /skip: "fc2\.\*" fits no name of the model or the file; the closest are "fc/, {
    skip: ['fc2.*'],
  });

  const part = new Map([
    ['fc.weight', weight],
    ['other', bias],
  ]);
  const lenient = await load(t, part, { allowMissing: true, allowUnexpected: true });
  t.same(values(lenient, 'fc.bias'), [7, 8]);
  await refused(t, part, /unexpected in the file: "other"/, { allowMissing: true });
  await refused(t, part, /missing from the file: "fc.bias"/, { allowUnexpected: true });
});

t.test('files that are no safetensors', async (t) => {
  await refused(t, new Uint8Array(3), /^weights: 3 bytes are too few/);
  const zip = Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 8, 8, 0, 0, 0, 0);
  await refused(
    t,
    zip,
    /this is a checkpoint of torch\.save; write a safetensors file instead: safetensors\.torch/,
  );
  const whole = writeSafetensors(full);
  await refused(t, whole.subarray(0, 40), /truncated: the header needs/);
  await refused(t, whole.subarray(0, whole.length - 4), /truncated: tensor/);
  await t.rejects(checkWeights(graph(), '/nonexistent/w', strict, 'weights'), { code: 'ENOENT' });
});

t.test('a file that shrinks while it is read', async (t) => {
  const path = file(t, full);
  const opened = await SafetensorsFile.open(path, 'weights');
  writeFileSync(path, '');
  await t.rejects(opened.read(opened.entries[0]!, new Float32Array(6)), { message: /became shorter/ });
  await opened.close();
});
