import type { Node, TensorType } from '../../../graph/index.js';

/** What a kernel is compiled for: WGSL, GLSL, a WebAssembly module with SIMD, or a JavaScript function. */
export type Backend = 'webgpu' | 'webgl' | 'wasm' | 'javascript';

/**
 * One launch: a function in gpu.js's language over flat row-major values, one cell of the output per thread.
 *
 * All elements are float32 on the device: bool is 0 or 1, integers are exact up to 2^24.
 */
export interface Kernel {
  /** `function (a, b) { ... return x; }`; arguments are flat float32 values, in the order of `inputs`. */
  readonly source: string;
  /** Names of values of the graph, or of values that earlier kernels of the same lowering made. */
  readonly inputs: readonly string[];
  /** The value that it makes. */
  readonly output: string;
  /** Extents [x], [x, y] or [x, y, z]; x runs fastest; their product is the size of the value. */
  readonly extents: readonly number[];
  /** Integers and floats frozen into the kernel: `this.constants.NAME`. */
  readonly constants: Readonly<Record<string, number>>;
}

/** What a rule may ask about the graph around a node. Sizes of the node's values are at least 1. */
export interface KernelContext {
  typeOf(value: string): TensorType;
  /** The value of a compile-time constant (axes, shapes), as numbers. */
  constantOf(value: string): readonly number[] | undefined;
  /** A fresh name for an intermediate of this node. */
  fresh(hint: string): string;
  /** What the kernels are for: loops and forms may differ. */
  readonly backend: Backend;
}

/** Writes a node as launches, by its types alone. Every used output of the node is made by one of them. */
export type KernelRule = (node: Node, context: KernelContext) => readonly Kernel[];

/** Rules by operator of ai.onnx, or `domain:Name`. */
export type KernelRules = Readonly<Record<string, KernelRule>>;
