import { customOf, type TypedGraph } from '../../graph/index.js';
import { ALL_OPERATORS, OWN_OPERATORS, type DeviceKind } from '../../scheduler/index.js';
import * as gpujs from './gpujs/support.js';
import * as onnxruntime from './onnxruntime/support.js';
import type { EngineName, Fallback } from './port.js';

/**
 * The operators that an engine runs on a kind of device, as devices list them (`Device`); `all`: all but users' own. Pure:
 * no library is loaded for the answer.
 */
export function operatorsOf(engine: EngineName, kind: DeviceKind): readonly string[] | 'all' {
  switch (engine) {
    case 'onnxruntime':
      return onnxruntime.operatorsOf(kind);
    case 'gpujs':
      return gpujs.operatorsOf(kind);
    case 'reference':
      return [ALL_OPERATORS, OWN_OPERATORS];
  }
}

/** The nodes of a graph that an engine does not run on a kind of device, with the reason. Pure, likewise. */
export function unsupportedNodes(
  engine: EngineName,
  graph: TypedGraph,
  kind: DeviceKind,
): readonly Fallback[] {
  switch (engine) {
    case 'onnxruntime':
      return [...ownNodes(graph), ...onnxruntime.unsupportedNodes(withoutOwn(graph), kind)];
    case 'gpujs':
      return gpujs.unsupportedNodes(graph, kind);
    case 'reference':
      return [];
  }
}

function ownNodes({ nodes }: TypedGraph): readonly Fallback[] {
  return nodes.filter(customOf).map(({ name, operator, domain }) => ({
    node: name,
    operator,
    reason: `${domain}.${operator} is a user's own operator, which onnxruntime cannot run; engine gpujs can`,
  }));
}

function withoutOwn(graph: TypedGraph): TypedGraph {
  return graph.nodes.some(customOf)
    ? { ...graph, nodes: graph.nodes.filter((node) => !customOf(node)) }
    : graph;
}
