import { bodyAttribute, type Body, type Node, type ValueInfo } from '../../ir/graph.js';
import { scalar } from '../../ir/tensor.js';
import { emptyStack } from './empty-stack.js';
import { cannotUnroll } from './refuse.js';
import type { Expansion, Unroller } from './unroller.js';

const INSTEAD =
  'A loop is written out where its number of runs follows from constants and shapes: export it over a fixed length, or export recurrent layers as LSTM, GRU or RNN nodes';

/**
 * Loop: its body as often as it runs. The number of runs follows from the trip count, or from a condition that is
 * known after each run.
 * @see https://onnx.ai/onnx/operators/onnx__Loop.html
 */
export const loop: Expansion = (unroller, node, frame) => {
  const body = bodyOf(node);
  const [trips = '', condition = '', ...initial] = node.inputs;
  const most = trips === '' ? Infinity : unroller.knownNumber(trips);
  if (most === undefined) throw cannotUnroll(node, 'how often it runs depends on the data', INSTEAD);
  let goes = condition === '' ? 1 : unroller.knownNumber(condition);
  if (goes === undefined) throw cannotUnroll(node, 'whether it runs at all depends on the data', INSTEAD);
  const always = unroller.constant(node, 'condition', scalar('bool', 1));
  let carried: readonly string[] = initial;
  const stacks = body.outputs.slice(1 + initial.length).map((): string[] => []);
  for (let run = 0; run < most && goes !== 0; run++) {
    const before = unroller.remaining;
    const number = unroller.constant(node, `${run}/number`, scalar('int64', run));
    const results = unroller.run(body, [number, always, ...carried], `${node.name}/${run}`, frame, node);
    carried = results.slice(1, 1 + initial.length);
    results.slice(1 + initial.length).forEach((value, i) => stacks[i]!.push(value));
    if (run + 1 >= most) break;
    const next = results[0]!;
    goes = unroller.knownNumber(next);
    if (goes === undefined) {
      throw cannotUnroll(node, `whether it goes on after run ${run + 1} depends on the data`, INSTEAD);
    }
    if (run === 0 && next === always && most * (before - unroller.remaining) > before) {
      throw cannotUnroll(
        node,
        `it runs ${most === Infinity ? 'for ever' : `${most} times`}, each time ${before - unroller.remaining} nodes`,
        INSTEAD,
      );
    }
  }
  initial.forEach((_, i) => unroller.assign(node, i, carried[i]!, frame));
  stacks.forEach((rows, i) => {
    const output = initial.length + i;
    if ((node.outputs[output] ?? '') === '') return;
    const stacked = stackOf(unroller, node, rows, body.outputs[1 + output]?.declared);
    unroller.assign(node, output, stacked, frame);
  });
};

/** The rows that the runs gave, one over the other. */
function stackOf(unroller: Unroller, node: Node, rows: readonly string[], declared?: ValueInfo): string {
  if (rows.length === 0) return emptyStack(unroller, node, declared, 0);
  if (rows.some((row) => unroller.sequences.has(row))) {
    throw cannotUnroll(node, 'it stacks lists of tensors', 'Tensors would be accepted');
  }
  return unroller.stack(node, rows, 0);
}

/** The body, whose inputs and outputs must go with those of the node. */
function bodyOf(node: Node): Body {
  const body = bodyAttribute(node, 'body');
  const carried = Math.max(node.inputs.length - 2, 0);
  if (!body || body.inputs.length !== 2 + carried || body.outputs.length < 1 + carried) {
    throw cannotUnroll(
      node,
      `it carries ${carried} values, and its body has ${body?.inputs.length ?? 0} inputs and ${body?.outputs.length ?? 0} outputs`,
      `${2 + carried} inputs and at least ${1 + carried} outputs would be accepted`,
    );
  }
  if (node.outputs.length > body.outputs.length - 1) {
    throw cannotUnroll(
      node,
      `it has ${node.outputs.length} outputs, and its body gives ${body.outputs.length - 1}`,
      'As many as the body gives would be accepted',
    );
  }
  return body;
}
