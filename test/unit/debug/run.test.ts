import t from 'tap';
import {
  buildTrainingGraph,
  forwardNodes,
  fromReference,
  LOSS_SCALE,
  originOf,
  sizeOf,
  toReference,
  type Reference,
} from '../../../graph/index.js';
import { gelu, gpt, linear, model, sequential, tensor, type Model } from '../../../graph/nn/index.js';
import {
  compareWith,
  debugStep,
  nodesNamed,
  relativeError,
  UnknownNameError,
  valuesNamed,
  type DebugOptions,
  type JobStep,
  type Observer,
  type Onward,
  type Stop,
} from '../../../worker/debug/index.js';
import { createEngine, type Engine, type Program } from '../../../worker/engine/index.js';

const mlp = model({ input: tensor(4), layers: sequential(linear(5), gelu(), linear(3)), seed: 1 });

function stepOf(
  { graph }: Model,
  change: (values: Map<string, Reference>) => void = () => undefined,
): JobStep {
  const batch = 2;
  const training = buildTrainingGraph(graph, { batch, loss: 'cross_entropy', includeOutput: true });
  const values = new Map<string, Reference>(
    [...graph.parameters].map(([name, each]) => [name, toReference(each)]),
  );
  for (const name of training.graph.inputs) {
    const { dtype, shape } = training.graph.types.get(name)!;
    const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) =>
      name === LOSS_SCALE || dtype === 'int64' ? 1 : Math.fround(Math.sin(i + 1)),
    );
    values.set(name, { dtype, shape, data });
  }
  change(values);
  const own = new Set(graph.nodes.map(({ name }) => name));
  return { training, own, forward: forwardNodes(training), values, samples: batch, batch, step: 0 };
}

const plain: DebugOptions = {
  ...{ phase: 'all', breaks: [], breakOnNan: false, breakFirst: false, prints: [], exact: false },
};

class Recorder implements Observer {
  readonly stops: Stop[] = [];

  constructor(
    private readonly answers: readonly Onward[] = [],
    private readonly atSecond: (stop: Stop) => void = () => undefined,
  ) {}

  stop(stop: Stop): Promise<Onward> {
    this.stops.push(stop);
    if (this.stops.length === 2) this.atSecond(stop);
    return Promise.resolve(this.answers[this.stops.length - 1] ?? 'continue');
  }
}

t.test('origins and phases: gradients are named after what they belong to', async (t) => {
  const { training, own, forward } = stepOf(mlp);
  const phases = training.graph.nodes.map((node) => (forward.has(node) ? 'f' : 'b')).join('');
  t.match(phases, /^f.*b/);
  for (const name of ['0/Gemm', '2/Gemm']) {
    t.ok(forward.has(training.graph.nodes.find((node) => node.name === name)!), name);
    const [gradient] = nodesNamed(`${name}/grad/*`, training.graph.nodes, own, '--break');
    t.notOk(forward.has(gradient!));
    t.equal(originOf(gradient!.name, own), name);
  }
  t.equal(originOf('loss/LogSoftmax', own), undefined);
  t.equal(originOf('a/b/grad/Mul', new Set(['a', 'a/b'])), 'a/b', 'the longest name counts');
  const backward = training.graph.nodes.filter((node) => !forward.has(node));
  const known = backward.filter(
    ({ name }) => originOf(name, own) !== undefined || name.startsWith('loss/grad'),
  );
  t.ok(known.length > 0.8 * backward.length, `${known.length} of ${backward.length} are attributed`);
});

t.test('names: of nodes, of the model, of values; the closest are told', async (t) => {
  const { training, own } = stepOf(mlp);
  const { graph } = training;
  t.same(
    nodesNamed('0/Gemm', graph.nodes, own, '--break').map(({ name }) => name),
    ['0/Gemm'],
  );
  t.throws(() => nodesNamed('0/Gem', graph.nodes, own, '--break'), {
    message: /^--break 0\/Gem: .* "0\/Gemm"/,
  });
  t.throws(() => nodesNamed('x', graph.nodes, own, '--break'), UnknownNameError);
  t.same([...valuesNamed('grad.0.*', graph, graph.nodes, own, '--print')], ['grad.0.weight', 'grad.0.bias']);
  t.same([...valuesNamed('0.weight', graph, graph.nodes, own, '--print')], ['0.weight']);
  t.same(
    [...valuesNamed('2/Gemm', graph, graph.nodes, own, '--print')].length,
    1,
    'a node stands for its results',
  );
});

t.test('a name of the model stands for what it was written out in', async (t) => {
  const { training, own } = stepOf(gpt({ vocabulary: 7, context: 3, width: 4, heads: 2, layers: 1 }));
  const { nodes } = training.graph;
  const gone = [...own].find((name) => !nodes.some((node) => node.name === name));
  t.throws(() => nodesNamed('no such', nodes, own, '--break'), UnknownNameError);
  if (gone !== undefined)
    t.throws(() => nodesNamed(gone, nodes, own, '--break'), /is not in this part of the step/);
});

t.test('stops: at breaks, step by step, at one more, to the end', async (t) => {
  const observer = new Recorder(['step', 'continue'], (stop) => {
    t.equal(stop.breakAt('2/Gemm'), 1);
    t.throws(() => stop.breakAt('nowhere'), UnknownNameError);
  });
  const { report, known } = await debugStep(stepOf(mlp), { ...plain, breaks: ['0/Gemm'] }, observer);
  const order = report.nodes.map(({ name }) => name);
  t.same(report.stops, ['0/Gemm', order[order.indexOf('0/Gemm') + 1]!, '2/Gemm']);
  t.same(
    observer.stops.map(({ reason }) => reason),
    ['break', 'step', 'break'],
  );
  t.ok(report.finished);
  t.equal(report.loss, known.get('loss')!.data[0]);
});

t.test('quitting ends the run there', async (t) => {
  const { report, computed } = await debugStep(
    stepOf(mlp),
    { ...plain, breakFirst: true },
    new Recorder(['quit']),
  );
  t.match(report, { finished: false, loss: null, stops: [computed[0]!.name] });
  t.equal(computed.length, 1);
});

t.test('phases: forward computes no gradient, backward looks at nothing else', async (t) => {
  const forward = await debugStep(stepOf(mlp), { ...plain, phase: 'forward' }, new Recorder());
  t.notOk([...forward.known.keys()].some((name) => name.startsWith('grad.')));
  t.type(forward.report.loss, 'number');
  const observer = new Recorder();
  const backward = await debugStep(stepOf(mlp), { ...plain, phase: 'backward', breakFirst: true }, observer);
  t.equal(observer.stops[0]!.node.phase, 'backward');
  t.ok(backward.report.nodes.every(({ phase }) => phase === 'backward'));
  const options: DebugOptions = { ...plain, phase: 'backward', breaks: ['0/Gemm'] };
  const { stops } = (await debugStep(stepOf(mlp), options, new Recorder())).report;
  t.ok(
    stops.length > 0 && stops.every((name) => name.startsWith('0/Gemm/grad/')),
    'its gradient stands for it',
  );
  await t.rejects(
    debugStep(stepOf(mlp), { ...plain, breaks: ['nowhere'] }, new Recorder()),
    UnknownNameError,
  );
});

t.test('a fault: in the data, at a node, none in an attention mask', async (t) => {
  const withNaN = stepOf(mlp, (values) => (values.get('input')!.data[3] = NaN));
  const given = await debugStep(withNaN, { ...plain, breakOnNan: true }, new Recorder());
  t.match(given.report, {
    finished: false,
    nodes: [],
    fault: { kind: 'nan', value: 'input', node: null, at: 3 },
  });
  const huge = stepOf(mlp, (values) => values.get('0.weight')!.data.fill(3e38));
  const observer = new Recorder();
  const { report } = await debugStep(huge, { ...plain, breakOnNan: true }, observer);
  t.match(report.fault, { kind: 'infinity', node: { name: '0/Gemm' } });
  t.match(observer.stops[0], { reason: 'fault', fault: { inputs: [{ name: 'input' }, {}, {}] } });
  const exact = await debugStep(huge, { ...plain, exact: true, phase: 'forward' }, new Recorder());
  t.not(exact.report.fault?.node?.name, '0/Gemm', 'float64 holds it');
  const attention = gpt({ vocabulary: 7, context: 3, width: 4, heads: 2, layers: 1 });
  const sound = await debugStep(stepOf(attention), plain, new Recorder());
  t.equal(sound.report.fault, null);
});

t.test('another engine: nothing differs, or the first node that does', async (t) => {
  const { training } = stepOf(mlp);
  const { known, computed } = await debugStep(stepOf(mlp), plain, new Recorder());
  const engine = await createEngine('reference');
  const same = await compareWith(engine, training.graph, computed, known, 1e-5);
  t.match(same, { engine: 'reference', first: null, notRun: [] });
  t.ok(same.compared >= computed.length && same.worst!.error! < 1e-5);
  const off = await compareWith(wrongAt(engine, '2/Gemm'), training.graph, computed, known, 1e-5);
  t.match(off.first, { node: '2/Gemm', operator: 'Gemm' });
  t.ok(Math.abs(off.first!.error! - 0.5) < 1e-5, 'every result is half as large again');
  await engine.dispose();
});

t.test('relative errors count what is no number', async (t) => {
  const error = (a: number[], b: number[]) => relativeError(Float64Array.from(a), Float64Array.from(b));
  t.equal(error([1, NaN, -Infinity], [1, NaN, -Infinity]), 0);
  t.ok(Number.isNaN(error([1, 2], [1, NaN])));
  t.ok(Number.isNaN(error([Infinity], [-Infinity])));
  t.ok(Math.abs(error([3, 4.5], [3, 4]) - 0.1) < 1e-8);
});

/** An engine that gets the result of one node wrong, and all that follows from it. */
function wrongAt(engine: Engine, node: string): Engine {
  return {
    name: engine.name,
    device: engine.device,
    compile: async (graph) => {
      const program = await engine.compile(graph);
      const value = graph.nodes.find(({ name }) => name === node)?.outputs[0];
      const at = value === undefined ? -1 : graph.outputs.indexOf(value);
      const run: Program['run'] = async (inputs, outputs) => {
        await program.run(inputs, outputs);
        if (at >= 0) (outputs[at] as Float32Array).forEach((x, i, all) => (all[i] = 1.5 * x));
      };
      return {
        ...program,
        inputs: program.inputs,
        outputs: program.outputs,
        run,
        dispose: () => program.dispose(),
      };
    },
    dispose: () => engine.dispose(),
  };
}

t.test('values survive the way to an engine and back', async (t) => {
  const infinite: Reference = { dtype: 'float32', shape: [2], data: Float64Array.of(-Infinity, NaN) };
  t.same([...toReference(fromReference(infinite)).data], [-Infinity, NaN]);
});
