import { attribute, bodyAttribute, intAttribute, type Node } from '../../ir/graph.js';
import { scalar } from '../../ir/tensor.js';
import { cannotUnroll } from './refuse.js';
import type { Expansion, Unroller } from './unroller.js';

const INSTEAD =
  'A list is written out where its length and the places in it follow from constants and shapes: export with fixed lengths, or stack the tensors';

/** Operators on lists of tensors: a list is the names of its tensors, and nothing computes it. */
export const sequenceOperators: Readonly<Record<string, Expansion>> = {
  SequenceEmpty: (unroller, node, frame) => unroller.assignList(node, 0, [], frame),
  SequenceConstruct: (unroller, node, frame) => unroller.assignList(node, 0, node.inputs, frame),
  SequenceInsert: (unroller, node, frame) => {
    const list = listOf(unroller, node);
    const at = positionOf(unroller, node, 2, list.length, list.length + 1);
    unroller.assignList(node, 0, list.toSpliced(at, 0, node.inputs[1] ?? ''), frame);
  },
  SequenceErase: (unroller, node, frame) => {
    const list = listOf(unroller, node);
    const at = positionOf(unroller, node, 1, list.length - 1, list.length);
    unroller.assignList(node, 0, list.toSpliced(at, 1), frame);
  },
  SequenceAt: (unroller, node, frame) => {
    const list = listOf(unroller, node);
    unroller.assign(node, 0, list[positionOf(unroller, node, 1, undefined, list.length)]!, frame);
  },
  SequenceLength: (unroller, node, frame) => {
    const length = unroller.constant(node, 'length', scalar('int64', listOf(unroller, node).length));
    unroller.assign(node, 0, length, frame);
  },
  SequenceMap: mapped,
  ConcatFromSequence: (unroller, node, frame) => {
    const list = listOf(unroller, node);
    if (list.length === 0) throw cannotUnroll(node, 'it joins an empty list', INSTEAD);
    const axis = intAttribute(node, 'axis', 0);
    const joined =
      intAttribute(node, 'new_axis', 0) === 1
        ? unroller.stack(node, list, axis)
        : unroller.add(node, 'Concat', list, { axis: attribute.int(axis) })[0]!;
    unroller.assign(node, 0, joined, frame);
  },
  SplitToSequence: (unroller, node, frame) => {
    const [value = '', split = ''] = node.inputs;
    const axis = intAttribute(node, 'axis', 0);
    const isTensor = value !== '' && !unroller.sequences.has(value);
    const length = isTensor ? unroller.typeOf(value).shape.at(axis) : undefined;
    if (length === undefined) throw cannotUnroll(node, `its input has no axis ${axis}`, INSTEAD);
    const sizes = sizesOf(unroller, node, split, length);
    if (sizes.length === 0) {
      unroller.assignList(node, 0, [], frame);
      return;
    }
    const squeezed = split === '' && intAttribute(node, 'keepdims', 1) === 0;
    const parts = squeezed
      ? unroller.slices(node, value, axis, length)
      : unroller.split(node, value, axis, sizes);
    unroller.assignList(node, 0, parts, frame);
  },
};

/** SequenceMap: its body once for each place of the list; inputs that are tensors are given to each run. */
function mapped(...[unroller, node, frame]: Parameters<Expansion>): void {
  const body = bodyAttribute(node, 'body');
  const { length } = listOf(unroller, node);
  const columns = node.inputs.map((input) => unroller.sequences.get(input));
  const fits = columns.every((column) => column === undefined || column.length === length);
  if (!body || !fits || body.inputs.length !== node.inputs.length) {
    throw cannotUnroll(
      node,
      'its lists have several lengths, or its body does not have an input for each of its inputs',
      INSTEAD,
    );
  }
  const results = Array.from({ length }, (_, at) =>
    unroller.run(
      body,
      node.inputs.map((input, i) => columns[i]?.[at] ?? input),
      `${node.name}/${at}`,
      frame,
      node,
    ),
  );
  node.outputs.forEach((_, i) => {
    if (i >= body.outputs.length) throw cannotUnroll(node, `its body gives no output ${i}`, INSTEAD);
    unroller.assignList(
      node,
      i,
      results.map((row) => row[i]!),
      frame,
    );
  });
}

/** The list that a node works on. */
function listOf(unroller: Unroller, node: Node): readonly string[] {
  const list = unroller.sequences.get(node.inputs[0] ?? '');
  if (list) return list;
  throw cannotUnroll(node, 'its first input is not a list that the graph makes', INSTEAD);
}

/** The place that an input names, from the front; `fallback` where it is omitted. */
function positionOf(
  unroller: Unroller,
  node: Node,
  input: number,
  fallback: number | undefined,
  places: number,
): number {
  const name = node.inputs[input] ?? '';
  const given = name === '' ? fallback : unroller.knownNumber(name);
  if (given === undefined) throw cannotUnroll(node, 'its place in the list depends on the data', INSTEAD);
  // A negative place counts from the end of the list, which for an insertion has one place more than tensors.
  const length = node.operator === 'SequenceInsert' ? places - 1 : places;
  const at = given < 0 ? given + length : given;
  if (Number.isInteger(at) && at >= 0 && at < places) return at;
  throw cannotUnroll(node, `its list of ${length} tensors has no place ${given}`, INSTEAD);
}

/** The lengths of the parts that SplitToSequence makes. */
function sizesOf(unroller: Unroller, node: Node, split: string, length: number): readonly number[] {
  if (split === '') {
    unroller.spend(length, node);
    return new Array<number>(length).fill(1);
  }
  const known = unroller.knownValue(split);
  if (!known) throw cannotUnroll(node, 'the lengths of its parts depend on the data', INSTEAD);
  if (known.shape.length > 0) return Array.from(known.data);
  const chunk = known.data[0]!;
  if (!(chunk >= 1)) throw cannotUnroll(node, `its parts have the length ${chunk}`, INSTEAD);
  const count = Math.ceil(length / chunk);
  unroller.spend(count, node);
  return Array.from({ length: count }, (_, i) => Math.min(chunk, length - i * chunk));
}
