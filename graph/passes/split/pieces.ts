import type { Bytes } from '../../../base/index.js';
import { Formula } from '../../formula/index.js';
import type { GraphBuilder } from '../../ir/builder.js';
import type { Node } from '../../ir/graph.js';
import { bytesPerElement, sizeOf, type DataType, type Tensor, type TensorType } from '../../ir/tensor.js';
import { cutBox, offsetOf, overlap, sameBox, wholeBox, withAxis, type Box, type Cutting } from './box.js';
import { UnsplittableError } from './errors.js';

/** A part of a value, and the value of the new graph that holds it. */
export interface Piece {
  readonly box: Box;
  readonly name: string;
}

/** A value of the graph that is split, as disjoint pieces that make up all of it. */
export interface Stored {
  readonly type: TensorType;
  readonly pieces: readonly Piece[];
}

/** Most operands of a Concat: a kernel may be given so many buffers on any GPU, its result among them. */
const MOST_OPERANDS = 7;

/** Engines hold bool and small integers as words, some of them. */
const LEAST_ELEMENT_BYTES = 4;

export function elementBytes(dtype: DataType): Bytes {
  return Math.max(LEAST_ELEMENT_BYTES, bytesPerElement(dtype));
}

export function bytesIn({ dtype, shape }: TensorType): Bytes {
  return sizeOf(shape) * elementBytes(dtype);
}

/** The values of a graph while it is written again in pieces: where each part of one is, and how it is got. */
export class Pieces {
  readonly f: Formula;
  /** The node that is being written. */
  node: Node = { name: '', operator: '', domain: '', inputs: [], outputs: [], attributes: {} };
  private readonly values = new Map<string, Stored>();
  private readonly reads = new Map<string, string>();

  /** @param most elements of a piece */
  constructor(
    private readonly graph: string,
    readonly builder: GraphBuilder,
    readonly limitBytes: Bytes,
    readonly most: number,
  ) {
    this.f = new Formula(builder);
  }

  store(value: string, stored: Stored): void {
    this.values.set(value, stored);
  }

  valueOf(value: string): Stored {
    return this.values.get(value)!;
  }

  typeOf(value: string): TensorType {
    return this.valueOf(value).type;
  }

  shapeOf(value: string): readonly number[] {
    return this.valueOf(value).type.shape;
  }

  isSplit(value: string): boolean {
    return this.valueOf(value).pieces.length > 1;
  }

  isLarge(type: TensorType): boolean {
    return bytesIn(type) > this.limitBytes;
  }

  /** A constant operand as numbers; undefined where it is computed. */
  constantOf(value: string): number[] | undefined {
    const tensor = this.tensorOf(value);
    return tensor && Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  }

  private tensorOf(value: string): Tensor | undefined {
    const { pieces } = this.valueOf(value);
    return pieces.length === 1 ? this.builder.constantOf(pieces[0]!.name) : undefined;
  }

  /** Where a value is cut along an axis. */
  cutsOf(value: string, axis: number): readonly number[] {
    const { pieces } = this.valueOf(value);
    return pieces.length === 1 ? [] : [...new Set(pieces.map(({ box }) => box.start[axis]!))];
  }

  /**
   * A result in pieces, each written by itself.
   * @throws UnsplittableError where the axes that stay whole are too large
   */
  made(value: string, type: TensorType, write: (box: Box) => string, cutting: Partial<Cutting> = {}): Stored {
    const whole = wholeBox(type.shape);
    const room = Math.floor(this.limitBytes / elementBytes(type.dtype));
    const boxes =
      cutBox(whole, { most: this.isLarge(type) ? this.most : Infinity, ...cutting }) ??
      cutBox(whole, { ...cutting, most: room });
    if (!boxes) throw this.refusal(value, this.keptType(type, cutting.keep ?? []));
    return { type, pieces: boxes.map((box) => ({ box, name: write(box) })) };
  }

  private keptType({ dtype, shape }: TensorType, keep: readonly number[]): TensorType {
    return { dtype, shape: shape.map((dim, axis) => (keep.includes(axis) ? dim : 1)) };
  }

  refusal(value: string, type: TensorType): UnsplittableError {
    const { graph, node, limitBytes } = this;
    return new UnsplittableError({ graph, node, value, type, bytes: bytesIn(type), limitBytes });
  }

  /** The name of an operand, whole. */
  whole(value: string): string {
    return value === '' ? '' : this.read(value, wholeBox(this.shapeOf(value)));
  }

  /**
   * The name of a part of a value.
   * @throws UnsplittableError for a part that is too large
   */
  read(value: string, box: Box): string {
    const { type, pieces } = this.valueOf(value);
    const wanted = { dtype: type.dtype, shape: box.shape };
    if (this.isLarge(wanted)) throw this.refusal(value, wanted);
    const key = JSON.stringify([value, box.start, box.shape]);
    let name = this.reads.get(key);
    if (name === undefined) this.reads.set(key, (name = this.assembled(pieces, box)));
    return name;
  }

  private assembled(pieces: readonly Piece[], box: Box): string {
    const hits =
      sizeOf(box.shape) === 0 ? pieces.slice(0, 1) : pieces.filter((piece) => overlap(piece.box, box));
    const [first] = hits;
    if (hits.length === 1) return this.cutFrom(first!, box);
    const startsOn = (at: number) => [
      ...new Set(hits.map((hit) => Math.max(box.start[at]!, hit.box.start[at]!))),
    ];
    const axis = box.start.findIndex((_, at) => startsOn(at).length > 1);
    const end = box.start[axis]! + box.shape[axis]!;
    const starts = startsOn(axis).sort((a, b) => a - b);
    const parts = starts.map((start, i) =>
      this.assembled(hits, withAxis(box, axis, { start, length: (starts[i + 1] ?? end) - start })),
    );
    return this.concat(parts, axis);
  }

  private cutFrom({ box: from, name }: Piece, box: Box): string {
    if (sameBox(from, box)) return name;
    const cuts = box.shape.map((length, axis) => {
      const start = box.start[axis]! - from.start[axis]!;
      return { axis, start, end: start + length };
    });
    return this.asFloats(name, (x) => this.f.slice(x, cuts));
  }

  concat(parts: readonly string[], axis: number): string {
    if (parts.length <= MOST_OPERANDS) return this.joined(parts, axis);
    const groups: string[] = [];
    for (let i = 0; i < parts.length; i += MOST_OPERANDS)
      groups.push(this.joined(parts.slice(i, i + MOST_OPERANDS), axis));
    return this.concat(groups, axis);
  }

  private joined(parts: readonly string[], axis: number): string {
    const { f } = this;
    if (parts.length === 1) return parts[0]!;
    if (f.typeOf(parts[0]!).dtype !== 'bool') return f.concat(parts, axis);
    return f.cast(
      f.concat(
        parts.map((part) => f.cast(part, 'float32')),
        axis,
      ),
      'bool',
    );
  }

  /** Conditions are moved as floats: GPUs have no kernels that move bool. */
  asFloats(name: string, move: (x: string) => string): string {
    const { f } = this;
    return f.typeOf(name).dtype === 'bool' ? f.cast(move(f.cast(name, 'float32')), 'bool') : move(name);
  }

  /** The value in pieces whose elements lie side by side, in their order. */
  inRuns(value: string): Stored {
    const stored = this.valueOf(value);
    const { type } = stored;
    const runs = stored.pieces.map((piece) => ({ piece, offset: offsetOf(piece.box, type.shape) }));
    if (runs.every(({ offset }) => offset !== undefined)) {
      runs.sort((a, b) => a.offset! - b.offset!);
      return { type, pieces: runs.map(({ piece }) => piece) };
    }
    return this.made(value, type, (box) => this.read(value, box));
  }

  /** Elements [start, start + size) of a value in row-major order, in a shape. */
  readRun(value: string, start: number, shape: readonly number[]): string {
    const { f } = this;
    const stored = this.inRuns(value);
    const size = sizeOf(shape);
    const wanted = { dtype: stored.type.dtype, shape };
    if (this.isLarge(wanted)) throw this.refusal(value, wanted);
    const parts = stored.pieces.flatMap(({ box, name }) => {
      const offset = offsetOf(box, stored.type.shape)!;
      const length = sizeOf(box.shape);
      const from = Math.max(0, start - offset);
      const to = Math.min(length, start + size - offset);
      if (to <= from) return [];
      if (from === 0 && to === length) return [name];
      return [
        this.asFloats(f.reshape(name, [length]), (x) => f.slice(x, [{ axis: 0, start: from, end: to }])),
      ];
    });
    if (parts.length === 1) return f.reshape(parts[0]!, shape);
    const flat = parts.map((part) => f.reshape(part, [sizeOf(f.shapeOf(part))]));
    return f.reshape(this.concat(flat, 0), shape);
  }
}
