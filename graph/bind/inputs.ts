import { BindingError } from '../errors.js';
import type { Graph, ValueInfo } from '../ir/graph.js';
import { formatType, type Dimension, type TensorType } from '../ir/tensor.js';

/** The choice of input shapes. */
export interface Binding {
  /** Samples in a batch: the first dimension of the data inputs. */
  readonly batch?: number;
  /** Whole shapes of inputs by name; they win over `batch`. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
}

/** The inputs with all dimensions known. */
export interface BoundInputs {
  readonly types: ReadonlyMap<string, TensorType>;
  /** Lengths of the symbols that the inputs' shapes name. */
  readonly symbols: ReadonlyMap<string, number>;
  /** The batch that was asked for. */
  readonly batch?: number;
  /** That, or the first dimension of the first shape that was given. */
  readonly samples?: number;
  /** The static batch that the file was written for, where another was asked. */
  readonly exportedBatch?: number;
}

/**
 * Binds the inputs' shapes. `batch` becomes the first dimension of every input where that is a symbol; in a
 * model without such symbols, of the inputs that share the first input's static first dimension.
 *
 * @throws BindingError naming the input, its declared shape and what would be accepted
 */
export function bindInputs(graph: Graph, { batch, shapes = {} }: Binding): BoundInputs {
  checkAsked(graph, batch, shapes);
  const symbols = new Map<string, number>();
  let exportedBatch: number | undefined;
  let samples = batch;
  for (const input of graph.inputs) {
    const given = shapes[input.name];
    if (!given) continue;
    bindGiven(input, given, symbols);
    // the first dimension may be another than the file's: then it is a batch
    const first = input.shape[0];
    if (typeof first === 'number' && first !== given[0]) exportedBatch = first;
    samples ??= given[0];
  }
  const isBatch = batchTest(graph, shapes);
  const types = new Map<string, TensorType>();
  // First the batch, so that its symbol is known to inputs which name it on another axis.
  for (const input of graph.inputs) {
    const first = input.shape[0];
    if (batch === undefined || shapes[input.name] || !isBatch(input)) continue;
    if (typeof first === 'string') bindSymbol(input, first, batch, symbols);
    else if (first !== batch) exportedBatch = first;
  }
  for (const input of graph.inputs) {
    const given = shapes[input.name];
    const rebound = batch !== undefined && isBatch(input) ? [batch, ...input.shape.slice(1)] : input.shape;
    const shape = given ?? rebound.map((dim, axis) => lengthOf(input, dim, axis, symbols));
    types.set(input.name, { dtype: input.dtype, shape });
  }
  return {
    types,
    symbols,
    ...(batch === undefined ? {} : { batch }),
    ...(samples === undefined ? {} : { samples }),
    ...(exportedBatch === undefined ? {} : { exportedBatch }),
  };
}

function checkAsked(graph: Graph, batch: number | undefined, shapes: Binding['shapes'] & object): void {
  if (batch !== undefined && !(Number.isSafeInteger(batch) && batch >= 1)) {
    throw new BindingError(`the batch is ${batch}; a positive integer would be accepted`);
  }
  const names = graph.inputs.map((input) => input.name);
  for (const name of Object.keys(shapes)) {
    if (!names.includes(name)) {
      throw new BindingError(`the model has no input "${name}"; its inputs are ${names.join(', ')}`);
    }
  }
}

/** Whether an input's first dimension is the batch. */
function batchTest(graph: Graph, shapes: Binding['shapes'] & object): (input: ValueInfo) => boolean {
  const free = graph.inputs.filter((input) => !shapes[input.name] && input.shape.length > 0);
  if (free.some((input) => typeof input.shape[0] === 'string')) {
    return (input) => typeof input.shape[0] === 'string';
  }
  const first = free[0]?.shape[0];
  return (input) => input.shape.length > 0 && input.shape[0] === first;
}

function bindGiven(input: ValueInfo, given: readonly number[], symbols: Map<string, number>): void {
  const fits =
    given.length === input.shape.length &&
    given.every((length, axis) => {
      const declared = input.shape[axis]!;
      const free = typeof declared === 'string' || axis === 0;
      return Number.isSafeInteger(length) && length >= 0 && (free || declared === length);
    });
  if (!fits) {
    throw new BindingError(
      `input "${input.name}" is given the shape [${given.join(', ')}]; the model declares ${formatType(input)}`,
    );
  }
  input.shape.forEach((dim, axis) => {
    if (typeof dim === 'string') bindSymbol(input, dim, given[axis]!, symbols);
  });
}

function bindSymbol(input: ValueInfo, symbol: string, length: number, symbols: Map<string, number>): void {
  const known = symbols.get(symbol);
  if (known !== undefined && known !== length) {
    throw new BindingError(
      `input "${input.name}" (${formatType(input)}) makes "${symbol}" ${length}, and another input makes it ${known}`,
    );
  }
  symbols.set(symbol, length);
}

function lengthOf(
  input: ValueInfo,
  dim: Dimension,
  axis: number,
  symbols: ReadonlyMap<string, number>,
): number {
  if (typeof dim === 'number') return dim;
  const length = symbols.get(dim);
  if (length !== undefined) return length;
  throw new BindingError(
    `dimension ${axis} ("${dim}") of input "${input.name}" (${formatType(input)}) is not known; give ${axis === 0 ? 'a batch or ' : ''}the shape of the input`,
  );
}
