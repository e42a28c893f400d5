import { attribute, type Attributes, type AttributeValue, type Node } from '../ir/graph.js';
import { int64s, tensorOf, type Tensor } from '../ir/tensor.js';
import { fromReference } from '../reference/value.js';
import { modelError, type Place } from './fail.js';

/** The opsets whose meaning dtrain knows: from broadcasting by NumPy's rule to the newest that changes nothing here. */
export const OLDEST_OPSET = 7;
export const NEWEST_OPSET = 26;

/** Collects what one node becomes. */
export interface Rewriting {
  /** Adds a constant and returns its name. */
  readonly constant: (hint: string, tensor: Tensor) => string;
  /** A name that nothing else has. */
  readonly fresh: (hint: string) => string;
  readonly place: Place;
}

type Rule = (node: Node, rewriting: Rewriting) => readonly Node[];

/** For opsets before `before`, a node of the operator becomes what `rule` gives. Rules apply in order of age. */
interface Step {
  readonly before: number;
  readonly rule: Rule;
}

/**
 * Brings a node of any opset to the form of IR_OPSET. One table: an operator whose form changed between
 * opsets needs an entry here and nothing anywhere else.
 */
export function normalize(node: Node, opset: number, rewriting: Rewriting): readonly Node[] {
  let nodes: readonly Node[] = [node];
  for (const { before, rule } of Object.hasOwn(STEPS, node.operator) ? STEPS[node.operator]! : []) {
    if (opset < before)
      nodes = nodes.flatMap((each) => (each.operator === node.operator ? rule(each, rewriting) : [each]));
  }
  return nodes;
}

const REDUCTIONS = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'];

const STEPS: Readonly<Record<string, readonly Step[]>> = {
  BatchNormalization: [{ before: 14, rule: batchNormalization }],
  Clip: [{ before: 11, rule: chain(likeToInput('min', 1), likeToInput('max', 2)) }],
  Dropout: [{ before: 12, rule: floatToInput('ratio', 1, 0.5) }],
  GroupNormalization: [{ before: 21, rule: groupNormalization }],
  GridSample: [{ before: 20, rule: gridSample }],
  Hardmax: [{ before: 13, rule: flattened }],
  LogSoftmax: [{ before: 13, rule: flattened }],
  Pad: [{ before: 11, rule: chain(intsToInput('pads', 1), likeToInput('value', 2)) }],
  ReduceSum: [{ before: 13, rule: intsToInput('axes', 1) }],
  ...Object.fromEntries(
    REDUCTIONS.map((name) => [`Reduce${name}`, [{ before: 18, rule: intsToInput('axes', 1) }]]),
  ),
  Resize: [{ before: 11, rule: resize }],
  Scan: [{ before: 9, rule: oldScan }],
  Scatter: [{ before: NEWEST_OPSET + 1, rule: (node) => [{ ...node, operator: 'ScatterElements' }] }],
  Slice: [
    { before: 10, rule: chain(intsToInput('starts', 1), intsToInput('ends', 2), intsToInput('axes', 3)) },
  ],
  Softmax: [{ before: 13, rule: flattened }],
  Split: [
    { before: 13, rule: intsToInput('split', 1) },
    { before: 18, rule: countOutputs },
  ],
  Squeeze: [{ before: 13, rule: intsToInput('axes', 1) }],
  TopK: [{ before: 10, rule: intToInput('k', 1) }],
  Unsqueeze: [{ before: 13, rule: intsToInput('axes', 1) }],
  Upsample: [
    { before: 9, rule: floatsToInput('scales', 1) },
    { before: NEWEST_OPSET + 1, rule: upsample },
  ],
};

/** Applies rules that each turn a node into one node. */
function chain(...rules: readonly Rule[]): Rule {
  return (node, rewriting) =>
    rules.reduce<readonly Node[]>((nodes, rule) => nodes.flatMap((each) => rule(each, rewriting)), [node]);
}

function without(attributes: Attributes, ...names: readonly string[]): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)));
}

/** The inputs with one more at `index`; those between are omitted. */
function withInput(node: Node, index: number, name: string): readonly string[] {
  const inputs = Array.from(
    { length: Math.max(node.inputs.length, index + 1) },
    (_, i) => node.inputs[i] ?? '',
  );
  return inputs.with(index, name);
}

/** An attribute that became an input: where it is there, a constant takes its place. */
function attributeToInput(
  name: string,
  index: number,
  tensorFor: (value: AttributeValue) => Tensor | undefined,
): Rule {
  return (node, { constant, place }) => {
    const value = node.attributes[name];
    if (!value) return [node];
    const tensor = tensorFor(value);
    if (!tensor)
      throw modelError(
        place,
        `attribute "${name}" of node "${node.name}" (${node.operator}) is a ${value.kind}`,
      );
    const input = constant(`${node.name}.${name}`, tensor);
    return [{ ...node, inputs: withInput(node, index, input), attributes: without(node.attributes, name) }];
  };
}

function intsToInput(name: string, index: number): Rule {
  return attributeToInput(name, index, (value) =>
    value.kind === 'ints' ? exactInts(value.value) : undefined,
  );
}

function intToInput(name: string, index: number): Rule {
  return attributeToInput(name, index, (value) => (value.kind === 'int' ? int64s([value.value]) : undefined));
}

function floatsToInput(name: string, index: number): Rule {
  return attributeToInput(name, index, (value) =>
    value.kind === 'floats' ? tensorOf('float32', [value.value.length], value.value) : undefined,
  );
}

/** "To the end" in a Slice is the largest int64, which a number holds as 2^63. */
function exactInts(values: readonly number[]): Tensor {
  return fromReference({ dtype: 'int64', shape: [values.length], data: Float64Array.from(values) });
}

/** A float attribute with a default that became an input of any float type. */
function floatToInput(name: string, index: number, fallback: number): Rule {
  return (node, { constant }) => {
    const value = node.attributes[name];
    const input = constant(
      `${node.name}.${name}`,
      tensorOf('float32', [], [value?.kind === 'float' ? value.value : fallback]),
    );
    return [{ ...node, inputs: withInput(node, index, input), attributes: without(node.attributes, name) }];
  };
}

/** A float attribute that became an input of the first input's element type: a CastLike gives it that. */
function likeToInput(name: string, index: number): Rule {
  return (node, { constant, fresh }) => {
    const value = node.attributes[name];
    if (value?.kind !== 'float') return [node];
    const literal = constant(`${node.name}.${name}`, tensorOf('float32', [], [value.value]));
    const cast = fresh(`${node.name}.${name}.cast`);
    return [
      {
        name: cast,
        operator: 'CastLike',
        domain: '',
        inputs: [literal, node.inputs[0] ?? ''],
        outputs: [cast],
        attributes: {},
      },
      { ...node, inputs: withInput(node, index, cast), attributes: without(node.attributes, name) },
    ];
  };
}

/** Split before 18 shares evenly without saying so; `num_outputs` says it. */
function countOutputs(node: Node): readonly Node[] {
  if ((node.inputs[1] ?? '') !== '') return [node];
  const attributes = { ...node.attributes, num_outputs: attribute.int(node.outputs.length) };
  return [{ ...node, attributes }];
}

/**
 * Softmax and its relatives before opset 13 work on the input flattened to two dimensions at `axis`
 * (default 1). On the last axis that is today's meaning; elsewhere the flattening is written out.
 */
function flattened(node: Node, { fresh }: Rewriting): readonly Node[] {
  const given = node.attributes['axis'];
  const axis = given?.kind === 'int' ? given.value : 1;
  const last: Attributes = { axis: attribute.int(-1) };
  if (axis === -1) return [{ ...node, attributes: last }];
  const [input = '', output = ''] = [node.inputs[0], node.outputs[0]];
  const step = (operator: string, inputs: readonly string[], attributes: Attributes, to?: string): Node => {
    const name = fresh(`${node.name}.${operator}`);
    return { name, operator, domain: '', inputs, outputs: [to ?? name], attributes };
  };
  const shape = step('Shape', [input], {});
  const flat = step('Flatten', [input], { axis: attribute.int(axis) });
  const result = fresh(`${node.name}.flat`);
  return [
    shape,
    flat,
    { ...node, inputs: [flat.outputs[0]!], outputs: [result], attributes: last },
    step('Reshape', [result, shape.outputs[0]!], { allowzero: attribute.int(1) }, output),
  ];
}

/** Before opset 21 scale and bias had one number for each group; it is repeated for each of the group's channels. */
function groupNormalization(node: Node, { constant, fresh }: Rewriting): readonly Node[] {
  const given = node.attributes['num_groups'];
  const groups = given?.kind === 'int' ? given.value : 1;
  const [x = '', ...vectors] = node.inputs;
  const step = (operator: string, inputs: readonly string[], attributes: Attributes = {}): Node => {
    const name = fresh(`${node.name}.${operator}`);
    return { name, operator, domain: '', inputs, outputs: [name], attributes };
  };
  const count = constant(`${node.name}.groups`, int64s([groups]));
  const column = constant(`${node.name}.column`, int64s([groups, 1]));
  const vector = constant(`${node.name}.vector`, int64s([-1]));
  const channels = step('Shape', [x], { start: attribute.int(1), end: attribute.int(2) });
  const each = step('Div', [channels.name, count]);
  const target = step('Concat', [count, each.name], { axis: attribute.int(0) });
  const repeated = vectors.map((value) => {
    const stood = step('Reshape', [value, column]);
    const expanded = step('Expand', [stood.name, target.name]);
    return [stood, expanded, step('Reshape', [expanded.name, vector])];
  });
  return [
    channels,
    each,
    target,
    ...repeated.flat(),
    { ...node, inputs: [x, ...repeated.map((steps) => steps.at(-1)!.name)] },
  ];
}

/** Before opset 14 more than one output meant training; the two saved statistics are gone since. */
function batchNormalization(node: Node, { place }: Rewriting): readonly Node[] {
  const spatial = node.attributes['spatial'];
  if (spatial?.kind === 'int' && spatial.value === 0) {
    throw modelError(place, `node "${node.name}" (BatchNormalization) has spatial = 0; 1 would be accepted`);
  }
  const used = node.outputs.filter((output) => output !== '').length;
  const attributes = without(node.attributes, 'spatial');
  if (used <= 1) return [{ ...node, outputs: node.outputs.slice(0, 1), attributes }];
  return [
    {
      ...node,
      outputs: node.outputs.slice(0, 3),
      attributes: { ...attributes, training_mode: attribute.int(1) },
    },
  ];
}

/** Scan of opset 8 had lengths for each sample and an axis for the batch. */
function oldScan(node: Node, { place }: Rewriting): never {
  throw modelError(
    place,
    `node "${node.name}" (Scan) is in the form of opset 8; that of opset 9 or later would be accepted`,
  );
}

/** Interpolation of GridSample was named for two dimensions. */
function gridSample(node: Node): readonly Node[] {
  const mode = node.attributes['mode'];
  const renamed = mode?.kind === 'string' ? mode.value.replace(/^bi/, '') : 'linear';
  return [{ ...node, attributes: { ...node.attributes, mode: attribute.string(renamed) } }];
}

/** Resize of opset 10 had no region of interest and one rule for coordinates. */
const OLD_RESIZE: Attributes = {
  coordinate_transformation_mode: attribute.string('asymmetric'),
  nearest_mode: attribute.string('floor'),
};

function resize(node: Node): readonly Node[] {
  const [x = '', scales = ''] = node.inputs;
  return [{ ...node, inputs: [x, '', scales], attributes: { ...node.attributes, ...OLD_RESIZE } }];
}

function upsample(node: Node): readonly Node[] {
  return resize({ ...node, operator: 'Resize' });
}

/** @throws ModelError for an opset whose meaning dtrain does not know */
export function checkOpset(opset: number, place: Place): void {
  if (opset >= OLDEST_OPSET && opset <= NEWEST_OPSET) return;
  throw modelError(
    place,
    `the model is written in opset ${opset}; ${OLDEST_OPSET} to ${NEWEST_OPSET} would be accepted. Export it again, for example with opset_version=17`,
  );
}
