import type { TypedGraph } from '../../graph/index.js';
import type { DeviceKind } from '../../scheduler/index.js';
import * as gpujs from './gpujs/support.js';
import * as onnxruntime from './onnxruntime/support.js';
import type { EngineName, Fallback } from './port.js';

/**
 * The operators that an engine runs on a kind of device, `domain:Name` for those of other domains than ONNX's own. Pure:
 * no library is loaded for the answer.
 */
export function operatorsOf(engine: EngineName, kind: DeviceKind): readonly string[] | 'all' {
  switch (engine) {
    case 'onnxruntime':
      return onnxruntime.operatorsOf(kind);
    case 'gpujs':
      return gpujs.operatorsOf(kind);
    case 'reference':
      return 'all';
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
      return onnxruntime.unsupportedNodes(graph, kind);
    case 'gpujs':
      return gpujs.unsupportedNodes(graph, kind);
    case 'reference':
      return [];
  }
}
