import fc from 'fast-check';
import t from 'tap';
import {
  readModel,
  readSafetensors,
  tensorOf,
  withParameters,
  writeGraph,
  writeSafetensors,
} from '../../../graph/index.js';
import { file, node, tensor, value } from '../../unit/graph/file.js';

/** Names as exporters write them, and any other that is printable. */
const names = fc.oneof(
  fc.constantFrom(
    'transformer.h.0.attn.c_attn.weight',
    'model/dense/MatMul/ReadVariableOp:0',
    'sequential_1/lstm/while/body/_12/lstm_cell/kernel:0__34',
    '/Slice_output_0',
    'onnx::MatMul_123',
    'p_layers.0.weight',
    '__proto__',
    'constructor',
    '0',
    '12',
    '"quoted"\\',
    'ä 重み 🙂',
  ),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
);
const printable = (name: string): boolean =>
  !/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/.test(name);

t.test('parameters keep their names: read, written, trained, and moved as safetensors', (t) => {
  const lists = fc.uniqueArray(names.filter(printable), { minLength: 1, maxLength: 5 });
  const property = fc.property(lists, (list) => {
    const others = new Set(['in', 'out', '__metadata__', ...list.map((_, i) => `v${i}`)]);
    fc.pre(list.every((name) => !others.has(name)));
    const bytes = file({
      input: [value('in', ['n', 2])],
      output: [value('out', ['n', 2])],
      node: list.map((name, i) =>
        node('Add', [i === 0 ? 'in' : `v${i - 1}`, name], [i === list.length - 1 ? 'out' : `v${i}`]),
      ),
      initializer: list.map((name, i) => tensor(name, [2], [i, -i])),
    });
    const model = readModel(bytes);
    const sorted = [...list].sort();
    const same = (found: Iterable<string>, what: string) => {
      if (JSON.stringify([...found].sort()) !== JSON.stringify(sorted)) throw new Error(what);
    };
    same(model.graph.parameters.keys(), 'read');
    same(readModel(writeGraph(model.graph)).graph.parameters.keys(), 'written');
    const { tensors } = readSafetensors(writeSafetensors(model.graph.parameters));
    same(tensors.keys(), 'safetensors');
    const trained = new Map(list.map((name, i) => [name, tensorOf('float32', [2], [i + 0.5, i])]));
    const again = readModel(withParameters(model, trained)).graph.parameters;
    same(again.keys(), 'trained');
    list.forEach((name, i) => {
      if (again.get(name)!.data[0] !== i + 0.5 || tensors.get(name)!.data[0] !== i) throw new Error(name);
    });
  });
  fc.assert(property, { numRuns: 150 });
  t.pass('every list of names');
  t.end();
});
