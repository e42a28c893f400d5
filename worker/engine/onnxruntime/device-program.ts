import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Bytes } from '../../../base/index.js';
import type { TensorData, TypedGraph } from '../../../graph/index.js';
import { BufferError, DeviceLostError } from '../errors.js';
import { checkBuffers, type Fallback, type Program, type ValueSpec } from '../port.js';
import type { DeviceBudget } from './budget.js';
import { freeCopies, fromDevice, type Edge } from './edge.js';
import type { Copier } from './copier.js';
import { messageOf, runError } from './faults.js';
import { checkIndices, indexRanges, type IndexRange } from '../indices.js';
import type { Locations } from './session.js';
import type { DeviceValues } from './values.js';

/** What a program on a device is made of. */
export interface DeviceParts {
  /** As the caller wrote it. */
  readonly graph: TypedGraph;
  /** As the device runs it. */
  readonly lowered: TypedGraph;
  readonly fallbacks: readonly Fallback[];
  readonly session: InferenceSession;
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
  readonly copier: Copier;
  readonly values: DeviceValues;
  readonly budget: DeviceBudget;
  readonly open: (locations: Locations) => Promise<InferenceSession>;
  readonly onDispose: () => void;
}

/**
 * A session on a GPU. What it reads is taken from the device where it is there already; what it writes into buffers
 * that nobody else reads stays there.
 */
export class DeviceProgram implements Program {
  readonly fallbacks: readonly Fallback[];
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
  private readonly reads: readonly Edge[];
  private readonly indices: ReadonlyMap<string, IndexRange>;
  private readonly writes: readonly Edge[];
  private readonly names: readonly string[];
  private session: InferenceSession | undefined;
  /** Results lie where the session was told when it was made; another choice needs another session. */
  private staying = '';
  private disposed = false;

  constructor(private readonly parts: DeviceParts) {
    const { lowered, inputs, outputs } = parts;
    const edge = (name: string, spec: ValueSpec): Edge => ({ spec, dtype: lowered.types.get(name)!.dtype });
    this.indices = indexRanges(parts.graph);
    this.fallbacks = parts.fallbacks;
    this.inputs = inputs;
    this.outputs = outputs;
    this.reads = inputs.map((spec) => edge(spec.name, spec));
    this.names = lowered.outputs;
    this.writes = outputs.map((spec, i) => edge(lowered.outputs[i]!, spec));
    this.session = parts.session;
  }

  async run(inputs: readonly TensorData[], outputs: readonly TensorData[]): Promise<void> {
    const { graph, values } = this.parts;
    if (this.disposed) throw new BufferError(`program "${graph.name}" was disposed`);
    checkBuffers(this.inputs, inputs, 'input');
    checkBuffers(this.outputs, outputs, 'output');
    const stays = this.writes.map((edge, i) => values.stays(edge, outputs[i]!));
    for (const output of outputs) await values.forget(output);
    this.checkBudget(inputs);
    try {
      const session = await this.sessionFor(stays);
      const feeds: Record<string, Tensor> = {};
      for (const [i, edge] of this.reads.entries()) {
        const range = this.indices.get(edge.spec.name);
        if (range && !values.isNewer(inputs[i]!)) checkIndices(edge.spec.name, range, inputs[i]!);
        feeds[edge.spec.name] = await values.read(edge, inputs[i]!);
      }
      const results = await session.run(feeds, this.names);
      this.take(results, outputs, stays);
    } catch (error) {
      if (error instanceof BufferError) throw error;
      if (error instanceof RangeError) throw runError(error, graph);
      if (await this.parts.copier.answers()) throw runError(error, graph);
      const { device } = this.parts.budget.limits;
      throw new DeviceLostError('onnxruntime', device, `${messageOf(error)}; it answers no more`, error);
    }
  }

  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.parts.onDispose();
    await this.session?.release();
  }

  private take(
    results: InferenceSession.OnnxValueMapType,
    outputs: readonly TensorData[],
    stays: readonly boolean[],
  ) {
    const fetched: Tensor[] = [];
    this.writes.forEach((edge, i) => {
      const result = results[this.names[i]!] as Tensor;
      const output = outputs[i]!;
      if (stays[i]) this.parts.values.write(edge, output, result);
      else {
        fetched.push(result);
        fromDevice(edge.spec, result, output.buffer, output.byteOffset);
      }
    });
    freeCopies(fetched, outputs);
  }

  private async sessionFor(stays: readonly boolean[]): Promise<InferenceSession> {
    const staying = stays.map(Number).join('');
    if (this.session && (staying === this.staying || !(stays.includes(true) || this.staying.includes('1'))))
      return this.session;
    await this.session?.release();
    this.session = undefined;
    const locations = Object.fromEntries(
      this.names.map((name, i) => [name, stays[i] ? ('gpu-buffer' as const) : ('cpu' as const)]),
    );
    this.session = await this.parts.open(locations);
    this.staying = staying;
    return this.session;
  }

  /** What stays on the device, what this run reads beside it, and what it computes, together. */
  private checkBudget(inputs: readonly TensorData[]): void {
    const { values, budget, lowered, graph } = this.parts;
    let missing: Bytes = 0;
    this.reads.forEach((edge, i) => (missing += values.missingBytes(edge, inputs[i]!)));
    budget.checkRun(graph.name, lowered, values.bytes, missing);
  }
}
