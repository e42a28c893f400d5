import { attribute, intAttribute, type Attributes, type Node } from './graph.js';

const NAME = 'stop_gradient';

/**
 * What makes an Identity hand on its input, and no gradient back. It is no attribute of ONNX: it stands in the IR until
 * the model is differentiated, and `lowerForEngines` takes the node out.
 */
export const STOP_GRADIENT: Attributes = { [NAME]: attribute.int(1) };

/** Whether a node is an Identity that ends the gradient. */
export function stopsGradient(node: Node): boolean {
  return node.operator === 'Identity' && node.domain === '' && intAttribute(node, NAME, 0) === 1;
}
