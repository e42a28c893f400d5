import { keyOf, Random } from '../../base/index.js';
import { sameShape, sizeOf, type Tensor } from '../ir/tensor.js';
import { LayerError } from './errors.js';
import type { Initializer } from './initial.js';
import { Value, type Tape } from './value.js';

/**
 * A place in the model: gives parameters their full names (`blocks.0.attention.qkv.weight`) and their first values.
 * A parameter's values depend on the seed and its name alone, not on what else the model has.
 */
export class Scope {
  constructor(
    readonly tape: Tape,
    private readonly seed: number,
    readonly path = '',
  ) {}

  child(name: string): Scope {
    return new Scope(this.tape, this.seed, this.path === '' ? name : `${this.path}.${name}`);
  }

  /**
   * A trainable float32 parameter. Asking again for the same name gives the same parameter: a layer that is applied
   * twice shares its weights.
   * @throws LayerError when it is there with another shape
   */
  parameter(name: string, shape: readonly number[], initial: Initializer): Value {
    const full = this.path === '' ? name : `${this.path}.${name}`;
    const declared = this.tape.parameters.get(full);
    const known = declared ?? this.tape.start.get(full);
    if (known && !sameShape(known.shape, shape)) {
      throw new LayerError(
        this.path,
        `applied to inputs of different sizes: "${full}" would be [${known.shape.join(', ')}] and [${shape.join(', ')}]`,
      );
    }
    if (!declared) this.tape.parameter(full, known ?? this.first(full, shape, initial));
    return new Value(this.tape, this.path, full, 'float32', shape);
  }

  private first(full: string, shape: readonly number[], initial: Initializer): Tensor {
    const data = new Float32Array(sizeOf(shape));
    initial(data, new Random(keyOf(this.seed, full)));
    return { dtype: 'float32', shape, data };
  }
}
