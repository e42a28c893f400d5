import { InferenceSession } from 'onnxruntime-node';
import { writeTypedGraph, type TypedGraph } from '../../../graph/index.js';
import type { Fallback } from '../port.js';
import { messageOf } from './faults.js';
import type { Provider } from './provider.js';

/** Where the results of a session lie, by name; all on the host where nothing is said. */
export type Locations = Readonly<Record<string, 'cpu' | 'gpu-buffer'>>;

/** How the library says that it would compute on the CPU what it was forbidden to. */
const FELL_BACK = /fallback to CPU EP has been explicitly disabled/;

/**
 * Opens a session with every node where it is said to run: those of `fallbacks` on the host's CPU, all others on the
 * provider's device, which the library confirms.
 */
export function openSession(
  graph: TypedGraph,
  provider: Provider,
  fallbacks: readonly Fallback[],
  locations?: Locations,
): Promise<InferenceSession> {
  return InferenceSession.create(writeTypedGraph(graph), optionsOf(provider, fallbacks, locations));
}

/** Whether the library refused a session because it would not run all of it on the device. */
export const fellBack = (error: unknown): boolean => FELL_BACK.test(messageOf(error));

function optionsOf(
  { kind, session }: Provider,
  fallbacks: readonly Fallback[],
  locations: Locations | undefined,
): InferenceSession.SessionOptions {
  if (kind === 'cpu') return session;
  const placed = locations ? { ...session, preferredOutputLocation: locations } : session;
  if (fallbacks.length === 0) {
    const extra = session.extra as { session: object };
    return { ...placed, extra: { ...extra, session: { ...extra.session, disable_cpu_ep_fallback: '1' } } };
  }
  if (kind !== 'webgpu') return placed;
  const [first] = session.executionProviders as [InferenceSession.ExecutionProviderOption];
  const forced = Object.assign({}, first, { forceCpuNodeNames: fallbacks.map(({ node }) => node) });
  return { ...placed, executionProviders: [forced] };
}
