import { Random } from '../../../base/index.js';
import {
  emptyData,
  sizeOf,
  tensorOf,
  type Attributes,
  type DataType,
  type Tensor,
} from '../../../graph/index.js';

/** One node to try: its operands (undefined: omitted) and which of them the type rule must know. */
export interface Trial {
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes?: Attributes;
  /** How many outputs, or their names with '' for those that are not asked for. */
  readonly outputs?: number | readonly string[];
  /** Operands that are constants; the others are graph inputs. */
  readonly known?: readonly number[];
}

/** Under what name an operator's trial is kept: after its domain, where that is not ai.onnx. */
export function keyOf({ operator, domain }: { readonly operator: string; readonly domain: string }): string {
  return domain === '' ? operator : `${domain}.${operator}`;
}

/** Draws random shapes, axes and tensors. */
export class Draw extends Random {
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  flag(): boolean {
    return this.below(2) === 1;
  }

  one<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  shape(least = 0, most = 4): number[] {
    return Array.from({ length: this.between(least, most) }, () => this.between(1, 4));
  }

  /** A shape that broadcasts to `shape`. */
  narrowed(shape: readonly number[]): number[] {
    return shape.slice(this.below(shape.length + 1)).map((dim) => (this.below(3) === 0 ? 1 : dim));
  }

  /** An axis, from the front or from the back. */
  axis(rank: number): number {
    return this.below(2 * rank) - rank;
  }

  /** Some axes, each once, in any order and notation. */
  axes(rank: number, count = this.between(1, rank)): number[] {
    const all = Array.from({ length: rank }, (_, axis) => axis);
    this.shuffle(all);
    return all.slice(0, count).map((axis) => (this.flag() ? axis : axis - rank));
  }

  floats(shape: readonly number[], low = -3, high = 3): Tensor {
    const data = Float32Array.from({ length: sizeOf(shape) }, () => low + (high - low) * this.uniform());
    return { dtype: 'float32', shape, data };
  }

  ints(shape: readonly number[], low: number, high: number, dtype: DataType = 'int64'): Tensor {
    const values = Array.from({ length: sizeOf(shape) }, () => this.between(low, high));
    return tensorOf(dtype, shape, values);
  }

  bools(shape: readonly number[]): Tensor {
    return this.ints(shape, 0, 1, 'bool');
  }

  /** Distinct values, so that no order depends on ties. */
  distinct(shape: readonly number[]): Tensor {
    const data = emptyData('float32', sizeOf(shape)) as Float32Array;
    for (let i = 0; i < data.length; i++) data[i] = i - data.length / 2 + 0.25;
    this.shuffle(data);
    return { dtype: 'float32', shape, data };
  }
}
