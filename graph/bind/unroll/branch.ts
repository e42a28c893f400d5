import { bodyAttribute } from '../../ir/graph.js';
import { cannotUnroll } from './refuse.js';
import type { Expansion } from './unroller.js';

const INSTEAD =
  'Export the model with the branch fixed (tracing takes the one that runs), or compute both sides and choose with Where';

/** If: the branch that runs, in place of the node. @see https://onnx.ai/onnx/operators/onnx__If.html */
export const branch: Expansion = (unroller, node, frame) => {
  const condition = unroller.knownNumber(node.inputs[0] ?? '');
  if (condition === undefined) {
    throw cannotUnroll(
      node,
      'its condition depends on the data, so which branch runs is not known before',
      INSTEAD,
    );
  }
  const name = condition === 0 ? 'else_branch' : 'then_branch';
  const body = bodyAttribute(node, name);
  if (!body || body.inputs.length > 0 || body.outputs.length < node.outputs.length) {
    throw cannotUnroll(
      node,
      `it needs a ${name} without inputs that gives its ${node.outputs.length} outputs`,
      INSTEAD,
    );
  }
  const results = unroller.run(body, [], node.name, frame, node);
  node.outputs.forEach((_, i) => unroller.assign(node, i, results[i]!, frame));
};
