import { InferenceSession, Tensor } from 'onnxruntime-node';
import { writeGraph, type DataType, type Graph } from '../../../graph/index.js';

/** Element types that the device copies. */
type Copied = 'float32' | 'int32';

/**
 * Copies values between the host and the device. The library's binding has no function for either; a session that
 * does nothing has an input here and its output there. Asking for the data of a value on the device ends the process.
 */
export class Copier {
  private readonly sessions = new Map<string, Promise<InferenceSession>>();

  private constructor(private readonly options: InferenceSession.SessionOptions) {}

  /** The first session brings the device up, and keeps it: without one the library destroys it. */
  static async create(options: InferenceSession.SessionOptions): Promise<Copier> {
    const copier = new Copier(options);
    await copier.session('float32', 'gpu-buffer');
    return copier;
  }

  /** The value on the device; the caller disposes it. */
  async upload(host: Tensor): Promise<Tensor> {
    const dtype = host.type as Copied;
    const flat = new Tensor(dtype, host.data as Float32Array, [host.size]);
    const session = await this.session(dtype, 'gpu-buffer');
    const { y } = await session.run({ x: flat }, ['y']);
    return withShape(y!, host.dims);
  }

  /** The value in memory that the library has made. */
  async download(tensor: Tensor): Promise<Tensor> {
    const session = await this.session(tensor.type as Copied, 'cpu');
    const flat = Tensor.fromGpuBuffer(tensor.gpuBuffer, {
      dataType: tensor.type as Copied,
      dims: [tensor.size],
    });
    const { y } = await session.run({ x: flat }, ['y']);
    return y!;
  }

  /** Whether the device still computes: after an error it may be gone, and everything on it. */
  async answers(): Promise<boolean> {
    try {
      const there = await this.upload(new Tensor('float32', Float32Array.of(7), [1]));
      const back = await this.download(there);
      there.dispose();
      return back.data[0] === 7;
    } catch {
      return false;
    }
  }

  async dispose(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).release();
    this.sessions.clear();
  }

  private session(dtype: Copied, to: 'cpu' | 'gpu-buffer'): Promise<InferenceSession> {
    const key = `${dtype} to ${to}`;
    let session = this.sessions.get(key);
    if (!session) {
      session = InferenceSession.create(copyModel(dtype), { ...this.options, preferredOutputLocation: to });
      this.sessions.set(key, session);
    }
    return session;
  }
}

/** The same memory under another shape; disposing the result disposes the memory. */
function withShape(tensor: Tensor, dims: readonly number[]): Tensor {
  return Tensor.fromGpuBuffer(tensor.gpuBuffer, {
    dataType: tensor.type as Copied,
    dims,
    dispose: () => tensor.dispose(),
  });
}

function copyModel(dtype: DataType): Uint8Array {
  const node = {
    name: 'copy',
    operator: 'Identity',
    domain: '',
    inputs: ['x'],
    outputs: ['y'],
    attributes: {},
  };
  const graph: Graph = {
    name: 'copy',
    inputs: [{ name: 'x', dtype, shape: ['n'] }],
    outputs: [{ name: 'y', dtype, shape: ['n'] }],
    nodes: [node],
    parameters: new Map(),
    constants: new Map(),
  };
  return writeGraph(graph);
}
