import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { TensorData, TypedGraph } from '../../../graph/index.js';
import { BufferError } from '../errors.js';
import { checkBuffers, type Fallback, type Program, type ValueSpec } from '../port.js';
import { freeCopies } from './edge.js';
import { runError } from './faults.js';

/** A session on the CPU: values are read and written where the caller has them. */
export class OnnxRuntimeProgram implements Program {
  private disposed = false;

  constructor(
    private readonly graph: TypedGraph,
    private readonly session: InferenceSession,
    readonly fallbacks: readonly Fallback[],
    readonly inputs: readonly ValueSpec[],
    readonly outputs: readonly ValueSpec[],
    private readonly outputNames: readonly string[],
    private readonly onDispose: () => void,
  ) {}

  async run(inputs: readonly TensorData[], outputs: readonly TensorData[]): Promise<void> {
    if (this.disposed) throw new BufferError(`program "${this.graph.name}" was disposed`);
    checkBuffers(this.inputs, inputs, 'input');
    checkBuffers(this.outputs, outputs, 'output');
    const feeds: Record<string, Tensor> = {};
    for (let i = 0; i < inputs.length; i++) feeds[this.inputs[i]!.name] = wrap(this.inputs[i]!, inputs[i]!);
    const fetches: Record<string, Tensor> = {};
    for (let i = 0; i < outputs.length; i++)
      fetches[this.outputNames[i]!] = wrap(this.outputs[i]!, outputs[i]!);
    try {
      const results = await this.session.run(feeds, fetches);
      freeCopies(Object.values(results), outputs);
    } catch (error) {
      throw runError(error, this.graph);
    }
  }

  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.onDispose();
    await this.session.release();
  }
}

/** The binding's own handle of the caller's memory; nothing is copied. */
function wrap({ dtype, shape }: ValueSpec, data: TensorData): Tensor {
  return new Tensor(dtype as 'float32', data as Float32Array, shape);
}
