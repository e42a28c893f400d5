import { bodyAttribute, intAttribute, intsAttribute, type Node } from '../../ir/graph.js';
import { emptyStack } from './empty-stack.js';
import { cannotUnroll } from './refuse.js';
import type { Expansion, Unroller } from './unroller.js';

/**
 * Scan: its body once for each slice of its inputs, which have a static length.
 * @see https://onnx.ai/onnx/operators/onnx__Scan.html
 */
export const scan: Expansion = (unroller, node, frame) => {
  const body = bodyAttribute(node, 'body');
  const scanned = intAttribute(node, 'num_scan_inputs', 0);
  const states = node.inputs.length - scanned;
  const stacked = (body?.outputs.length ?? 0) - states;
  if (
    !body ||
    scanned < 1 ||
    states < 0 ||
    stacked < 0 ||
    body.inputs.length !== node.inputs.length ||
    node.outputs.length > body.outputs.length
  ) {
    throw cannotUnroll(
      node,
      `its ${node.inputs.length} inputs, ${scanned} of them scanned, do not go with a body of ${body?.inputs.length ?? 0} inputs and ${body?.outputs.length ?? 0} outputs`,
      'A body with an input for each input and an output for each state would be accepted',
    );
  }
  const list = (name: string, count: number) => listOf(node, name, count);
  const [inputAxes, inputDirections] = [
    list('scan_input_axes', scanned),
    list('scan_input_directions', scanned),
  ];
  const [outputAxes, outputDirections] = [
    list('scan_output_axes', stacked),
    list('scan_output_directions', stacked),
  ];
  const inputs = node.inputs.slice(states);
  const length = lengthOf(unroller, node, inputs, inputAxes);
  const slices = inputs.map((input, i) => {
    if (length === 0) return [];
    const parts = unroller.slices(node, input, inputAxes[i]!, length);
    return inputDirections[i] === 1 ? parts.toReversed() : parts;
  });
  let carried: readonly string[] = node.inputs.slice(0, states);
  const stacks = Array.from({ length: stacked }, (): string[] => []);
  for (let step = 0; step < length; step++) {
    const given = [...carried, ...slices.map((parts) => parts[step]!)];
    const results = unroller.run(body, given, `${node.name}/${step}`, frame, node);
    carried = results.slice(0, states);
    results.slice(states).forEach((value, i) => stacks[i]!.push(value));
  }
  carried.forEach((value, i) => unroller.assign(node, i, value, frame));
  stacks.forEach((rows, i) => {
    if ((node.outputs[states + i] ?? '') === '') return;
    const axis = outputAxes[i]!;
    const value =
      rows.length === 0
        ? emptyStack(unroller, node, body.outputs[states + i]?.declared, axis)
        : unroller.stack(node, outputDirections[i] === 1 ? rows.toReversed() : rows, axis);
    unroller.assign(node, states + i, value, frame);
  });
};

/** An attribute with one number for each input or output; zeros where it is absent. */
function listOf(node: Node, name: string, count: number): readonly number[] {
  const list = intsAttribute(node, name) ?? new Array<number>(count).fill(0);
  if (list.length === count) return list;
  throw cannotUnroll(node, `"${name}" has ${list.length} numbers`, `${count} would be accepted`);
}

/** How often the body runs: the length of every scanned input along its axis. */
function lengthOf(
  unroller: Unroller,
  node: Node,
  inputs: readonly string[],
  axes: readonly number[],
): number {
  const lengths = inputs.map((input, i) => {
    if (input === '' || unroller.sequences.has(input)) {
      throw cannotUnroll(node, `its scanned input ${i} is no tensor`, 'A tensor would be accepted');
    }
    const { shape } = unroller.typeOf(input);
    const length = shape.at(axes[i]!);
    const inside = axes[i]! >= -shape.length && axes[i]! < shape.length;
    if (!inside || length === undefined) {
      throw cannotUnroll(
        node,
        `it scans axis ${axes[i]!} of "${input}", which has ${shape.length} axes`,
        'An axis of the input would be accepted',
      );
    }
    return length;
  });
  if (new Set(lengths).size === 1) return lengths[0]!;
  throw cannotUnroll(
    node,
    `its scanned inputs have the lengths ${lengths.join(', ')}`,
    'Equal lengths would be accepted',
  );
}
