import fc from 'fast-check';
import t from 'tap';
import {
  buildTrainingGraph,
  cutIntoSegments,
  evaluate,
  gradientOrder,
  LOSS_SCALE,
  sizeOf,
  toReference,
  type Graph,
  type Reference,
  type TrainingGraph,
} from '../../../graph/index.js';
import {
  conv2d,
  flatten,
  gpt,
  linear,
  maxPool2d,
  model,
  relu,
  sequential,
  tensor,
  tanh,
} from '../../../graph/nn/index.js';

const models: readonly { readonly graph: Graph; readonly loss: 'cross_entropy' | 'mse' }[] = [
  {
    graph: gpt({ vocabulary: 7, context: 3, width: 4, heads: 2, layers: 2, dropout: 0.1 }).graph,
    loss: 'cross_entropy',
  },
  {
    graph: model({
      input: tensor(1, 6, 6),
      layers: sequential(
        conv2d(2, 3, { padding: 1 }),
        relu(),
        maxPool2d(2),
        flatten(),
        linear(3),
        tanh(),
        linear(2),
      ),
    }).graph,
    loss: 'mse',
  },
];
const trainings = models.map(({ graph, loss }) => ({
  graph,
  training: buildTrainingGraph(graph, { batch: 2, loss, includeOutput: true }),
}));

/** A partition of the parameters, in order, into consecutive buckets; or shuffled first. */
const partition = (training: TrainingGraph) =>
  fc
    .tuple(
      fc.boolean(),
      fc.array(fc.boolean(), { minLength: training.gradients.size, maxLength: training.gradients.size }),
    )
    .chain(([shuffled, cuts]) => {
      const order = [...gradientOrder(training)];
      const arranged = shuffled
        ? fc.shuffledSubarray(order, { minLength: order.length, maxLength: order.length })
        : fc.constant(order);
      return arranged.map((parameters) => {
        const buckets: string[][] = [[]];
        parameters.forEach((parameter, i) => {
          if (cuts[i] && buckets.at(-1)!.length > 0) buckets.push([]);
          buckets.at(-1)!.push(parameter);
        });
        return buckets;
      });
    });

for (const [index, { graph, training }] of trainings.entries()) {
  const values = valuesOf(graph, training);
  const whole = evaluate(training.graph, values);

  t.test(`model ${index}: running the segments in order equals running the whole`, async () => {
    fc.assert(
      fc.property(partition(training), (buckets) => {
        const { segments, crossing, crossingBytes } = cutIntoSegments(training, buckets);
        const known = new Map(values);
        const outputs = new Map<string, Reference>();
        let carried = 0;
        segments.forEach((segment, i) => {
          if (segment.nodes.length === 0) throw new Error(`segment ${i} is empty`);
          for (const [name, value] of evaluate(segment, known)) {
            if (outputs.has(name)) throw new Error(`"${name}" is computed twice`);
            outputs.set(name, value);
            known.set(name, value);
          }
          for (const parameter of buckets[i]!) {
            if (!outputs.has(training.gradients.get(parameter)!)) throw new Error(`${parameter} is late`);
          }
        });
        for (const { value, bytes } of crossing) {
          if (
            bytes !== 4 * sizeOf(training.graph.types.get(value)!.shape) &&
            training.graph.types.get(value)!.dtype === 'float32'
          )
            throw new Error(`bytes of ${value}`);
          carried += bytes;
        }
        const nodes = segments.reduce((sum, segment) => sum + segment.nodes.length, 0);
        return (
          segments.length === buckets.length &&
          nodes === training.graph.nodes.length &&
          carried === crossingBytes &&
          training.graph.outputs.every((output) => same(outputs.get(output)!, whole.get(output)!))
        );
      }),
      { numRuns: 15 },
    );
  });

  t.test(`model ${index}: gradients are terminal, distinct and complete in the order told`, async (t) => {
    const used = new Set(training.graph.nodes.flatMap((node) => node.inputs));
    const gradients = [...training.gradients.values()];
    t.equal(new Set(gradients).size, gradients.length);
    t.notOk(gradients.some((value) => used.has(value)));
    const position = new Map(
      training.graph.nodes.flatMap((node, i) => node.outputs.map((output) => [output, i] as const)),
    );
    const completed = gradientOrder(training).map((parameter) =>
      position.get(training.gradients.get(parameter)!)!,
    );
    t.same(
      completed,
      [...completed].sort((a, b) => a - b),
    );
    for (const value of gradients) t.ok(training.graph.outputs.includes(value));
  });
}

function same(a: Reference, b: Reference): boolean {
  return a.data.length === b.data.length && a.data.every((number, i) => number === b.data[i]);
}

function valuesOf(graph: Graph, { graph: typed }: TrainingGraph): Map<string, Reference> {
  const values = new Map([...graph.parameters].map(([name, parameter]) => [name, toReference(parameter)]));
  for (const input of typed.inputs) {
    const { dtype, shape } = typed.types.get(input)!;
    const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) =>
      dtype === 'int64' ? i % 5 : Math.sin(i + 1),
    );
    values.set(input, { dtype, shape, data: input === LOSS_SCALE ? Float64Array.of(0.5) : data });
  }
  return values;
}
