import t from 'tap';
import {
  bindGraph,
  evaluate,
  readModel,
  toReference,
  tensorOf,
  withParameters,
  writeGraph,
  writeTypedGraph,
  type Reference,
  type Tensor,
} from '../../../graph/index.js';
import { distance, runModel } from '../../property/graph/onnxruntime.js';
import { referenceCase } from './cases.js';

const CASES = [
  'mlp',
  'lenet',
  'gpt',
  'gpt-opset17',
  'gpt-tied',
  'text-classifier',
  'tabular',
  'resnet',
  'vit',
  'autoencoder',
  'keyword-spotting',
];

for (const name of CASES) {
  t.test(`${name}: the output that PyTorch gave`, async (t) => {
    const { model, inputs, parameters, output, batch } = await referenceCase(name);
    t.same([...model.graph.parameters.keys()].sort(), [...parameters].sort(), 'the parameters are PyTorch’s');
    const typed = bindGraph(model.graph, { batch });
    const given = new Map<string, Tensor>([...inputs, ...model.graph.parameters]);
    const expected = toReference(output);
    const close = (what: string, value: Reference | undefined): void => {
      t.ok(
        value && distance(value, expected) < 1e-5,
        `${what}: ${value ? distance(value, expected) : 'nothing'}`,
      );
    };
    const key = typed.outputs[0]!;
    close('reference evaluator', evaluate(typed, referencesOf(given)).get(key));
    close('typed graph in onnxruntime', (await runModel(writeTypedGraph(typed), given)).get(key));

    const rewritten = writeGraph(model.graph);
    close('forward graph in onnxruntime', (await runModel(rewritten, inputs)).get(key));
    const again = readModel(rewritten);
    t.same(again.graph.nodes, model.graph.nodes, 'read after write: the same nodes');
    t.same(again.graph.inputs, model.graph.inputs);
    t.same(again.graph.outputs, model.graph.outputs);
    close(
      'written and read again',
      evaluate(
        bindGraph(again.graph, { batch }),
        referencesOf(new Map([...inputs, ...again.graph.parameters])),
      ).get(key),
    );
    // what is exported predicts: BatchNormalization then has its running statistics, not those of this batch
    if (model.graph.nodes.some(({ operator }) => operator === 'BatchNormalization')) return;
    close(
      'the submitted model with its own values',
      (await runModel(withParameters(model, model.graph.parameters), inputs)).get(key),
    );
  });
}

function referencesOf(tensors: ReadonlyMap<string, Tensor>): Map<string, Reference> {
  return new Map([...tensors].map(([name, tensor]) => [name, toReference(tensor)]));
}

t.test('any batch can be bound', async (t) => {
  const { model } = await referenceCase('gpt');
  for (const batch of [1, 3]) {
    const typed = bindGraph(model.graph, { batch });
    t.same(typed.types.get(typed.outputs[0]!)?.shape, [batch, 16, 65]);
    t.notOk(
      typed.nodes.some(({ operator }) => ['Shape', 'Constant', 'Identity', 'Unsqueeze'].includes(operator)),
    );
    const input = tensorOf(
      'int64',
      [batch, 16],
      Array.from({ length: batch * 16 }, (_, i) => i % 65),
    );
    const values = referencesOf(new Map([['input', input], ...model.graph.parameters]));
    t.equal(evaluate(typed, values).get(typed.outputs[0]!)?.data.length, batch * 16 * 65);
  }
});
