import type { TypedGraph } from '../../../graph/index.js';
import { CompileError, DeviceLostError, RunError } from '../errors.js';

/** What the library said when it was given a graph, with the node that it names. */
export function compileError(error: unknown, graph: TypedGraph): CompileError {
  const reason = messageOf(error);
  return new CompileError('onnxruntime', graph.name, reason, { cause: error, ids: nodeIn(reason, graph) });
}

/** What the library said when it computed, with the node that it names. */
export function runError(error: unknown, graph: TypedGraph): RunError | DeviceLostError {
  const reason = messageOf(error);
  // Dawn's words, and CUDA's for the errors after which a context is of no use any more
  if (
    /device (is|was) lost|lost device|DXGI_ERROR_DEVICE|CUDA_ERROR_(ILLEGAL_ADDRESS|LAUNCH_FAILED|ECC)/i.test(
      reason,
    )
  )
    return new DeviceLostError('onnxruntime', 'its device', reason, error);
  return new RunError('onnxruntime', graph.name, reason, { cause: error, ids: nodeIn(reason, graph) });
}

export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}

/** The node that the message names, where it names one of this graph's: `In Node, ("n", ...`, `node. Name:'n'`. */
function nodeIn(message: string, graph: TypedGraph): Readonly<Record<string, unknown>> {
  for (const [, name] of message.matchAll(/(?:node|name)[^"'(]{0,12}["'(]+([^"'()]+)["')]/gi)) {
    const node = graph.nodes.find((candidate) => candidate.name === name);
    if (node) return { node: node.name, operator: node.operator };
  }
  return {};
}
