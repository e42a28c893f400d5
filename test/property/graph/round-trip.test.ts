import fc from 'fast-check';
import t from 'tap';
import {
  bindGraph,
  formatType,
  GraphBuilder,
  readModel,
  standardOperators,
  writeGraph,
  writeTypedGraph,
  type Graph,
  type Tensor,
  type ValueInfo,
} from '../../../graph/index.js';
import { Draw, type Trial } from './draw.js';
import { TRIALS } from './trials.js';
import { WINDOW_TRIALS } from './window-trials.js';

const trials = Object.entries({ ...TRIALS, ...WINDOW_TRIALS });
const isFloat32 = (tensor: Tensor): boolean => tensor.dtype === 'float32';

/** A forward graph of one node whose second float operand, where it has one, is a parameter. */
function graphOf(operator: string, { inputs, attributes = {}, outputs = 1, known = [] }: Trial): Graph {
  const operands = inputs.map((tensor, i) => ({ name: tensor ? `x${i}` : '', tensor, i }));
  const given = operands.flatMap(({ name, tensor, i }) => (tensor ? [{ name, tensor, i }] : []));
  const parameters = given.filter(({ tensor, i }) => i === 1 && isFloat32(tensor));
  const constants = given.filter(({ i }) => known.includes(i));
  const data = given.filter((each) => !parameters.includes(each) && !constants.includes(each));
  const names =
    typeof outputs === 'number' ? Array.from({ length: outputs }, (_, i) => `y${i}`) : [...outputs];
  const info = ({ name, tensor }: { name: string; tensor: Tensor }): ValueInfo => ({
    name,
    dtype: tensor.dtype,
    shape: tensor.shape,
  });
  return {
    name: operator,
    inputs: data.map(info),
    outputs: names.filter((name) => name !== '').map((name) => ({ name, dtype: 'float32', shape: ['rows'] })),
    nodes: [
      {
        name: `${operator}.1`,
        operator,
        domain: '',
        inputs: operands.map(({ name }) => name),
        outputs: names,
        attributes,
      },
    ],
    parameters: new Map(parameters.map(({ name, tensor }) => [name, tensor])),
    constants: new Map(constants.map(({ name, tensor }) => [name, tensor])),
  };
}

t.test('what is written is read again', async (t) => {
  const drawn = fc.tuple(fc.constantFrom(...trials), fc.nat());
  fc.assert(
    fc.property(drawn, ([[operator, make], seed]) => {
      const graph = graphOf(operator, make(new Draw(seed)));
      const again = readModel(writeGraph(graph)).graph;
      t.same(again.nodes, graph.nodes, operator);
      t.same(again.inputs, graph.inputs);
      t.same(again.outputs, graph.outputs);
      t.same(tensorsOf(again), tensorsOf(graph));
      const typed = bindGraph(graph);
      t.same(readModel(writeTypedGraph(typed)).graph.nodes, typed.nodes);
    }),
    { numRuns: 300, includeErrorInReport: true },
  );
});

/** Parameters that no gradient reaches are constants after reading: both kinds in one list. */
function tensorsOf({ parameters, constants }: Graph): unknown[] {
  return [...parameters, ...constants]
    .map(([name, tensor]) => [name, formatType(tensor), [...tensor.data]])
    .sort(([a], [b]) => String(a).localeCompare(String(b)));
}

t.test('binding infers what building does', async (t) => {
  for (const [operator, make] of trials) {
    const trial = make(new Draw(1));
    const graph = graphOf(operator, trial);
    const builder = new GraphBuilder(standardOperators);
    const inputs = trial.inputs.map((tensor, i) => {
      if (!tensor) return '';
      return trial.known?.includes(i) ? builder.constant(tensor, `c${i}`) : builder.input(`x${i}`, tensor);
    });
    const outputs = builder.add(operator, inputs, trial.attributes, { outputs: trial.outputs ?? 1 });
    const typed = bindGraph(graph);
    t.same(
      typed.outputs.map((name) => typed.types.get(name)),
      outputs.map((name) => builder.typeOf(name)),
      operator,
    );
  }
});
