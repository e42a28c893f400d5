import { attribute } from '../ir/graph.js';
import { LayerError } from './errors.js';
import { fanInUniform, normal, ones, zeros, type Initializer } from './initial.js';
import type { Layer } from './layer.js';

export interface LinearOptions {
  /** Whether a bias is added; true where absent. */
  readonly bias?: boolean;
  /** First values of the weight (and, unlike PyTorch's default, zeros for the bias). */
  readonly initial?: Initializer;
}

/** y = x W' + b over the last axis, for an input of any rank: [..., in] to [..., outputs]. W is [outputs, in]. */
export function linear(outputs: number, { bias = true, initial }: LinearOptions = {}): Layer {
  checkCount('linear', 'outputs', outputs);
  return {
    apply(x, scope) {
      if (x.rank < 2 || x.dtype !== 'float32') {
        throw new LayerError('linear', `needs a float32 [batch, ..., features]; it is given ${x.describe()}`);
      }
      const inputs = x.lengthAt(-1, 'linear');
      const weight = scope.parameter('weight', [outputs, inputs], initial ?? fanInUniform(inputs));
      const offset = bias
        ? scope.parameter('bias', [outputs], initial ? zeros : fanInUniform(inputs))
        : undefined;
      const shape = [...x.shape.slice(0, -1), outputs];
      if (x.rank === 2) {
        const operands = [x.name, weight.name, ...(offset ? [offset.name] : [])];
        return x.derive('Gemm', operands, { transB: attribute.int(1) }, shape);
      }
      const product = x.derive('MatMul', [x.name, weight.transpose(1, 0).name], {}, shape);
      return offset ? product.plus(offset) : product;
    },
  };
}

/** Row `id` of a table for each int64 id: [...] to [..., width]. */
export function embedding(
  rows: number,
  width: number,
  { initial = normal(1) }: { initial?: Initializer } = {},
): Layer {
  checkCount('embedding', 'rows', rows);
  checkCount('embedding', 'width', width);
  return {
    apply(x, scope) {
      if (x.dtype !== 'int64') {
        throw new LayerError(
          'embedding',
          `looks up int64 ids; it is given ${x.describe()}: declare the input with ids()`,
        );
      }
      const weight = scope.parameter('weight', [rows, width], initial);
      return x.named(
        x.tape.node(x.at, 'Gather', [weight.name, x.name], { axis: attribute.int(0) }),
        [...x.shape, width],
        'float32',
      );
    },
  };
}

/** Adds a trained vector for each place of the axis before the last: [batch, length, width] keeps its shape. */
export function positions({ initial = normal(1) }: { initial?: Initializer } = {}): Layer {
  return {
    apply(x, scope) {
      const shape = [x.lengthAt(-2, 'positions'), x.lengthAt(-1, 'positions')];
      return x.plus(scope.parameter('weight', shape, initial));
    },
  };
}

/** Normalises the last axis to mean 0 and variance 1, then scales and shifts it by trained vectors. */
export function layerNorm({ epsilon = 1e-5 }: { epsilon?: number } = {}): Layer {
  return {
    apply(x, scope) {
      const width = x.lengthAt(-1, 'layerNorm');
      const scale = scope.parameter('weight', [width], ones);
      const shift = scope.parameter('bias', [width], zeros);
      const attributes = { axis: attribute.int(-1), epsilon: attribute.float(epsilon) };
      return x.derive('LayerNormalization', [x.name, scale.name, shift.name], attributes, x.shape);
    },
  };
}

/** @throws LayerError unless `value` is a positive integer */
export function checkCount(layer: string, what: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new LayerError(layer, `${what} is ${value}; it must be a positive integer`);
  }
}
