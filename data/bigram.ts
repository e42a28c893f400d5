import { setImmediate } from 'node:timers/promises';
import { allocateBatch, elementsOf, type Batch, type Dataset } from './dataset.js';
import { DataError } from './errors.js';

/** Pairs looked at between two turns of the event loop. */
const BLOCK_PAIRS = 2 ** 16;

/**
 * The cross-entropy of a bigram model, in nats per token: the least that a language model has to beat.
 *
 * Counts the pairs (token, next token) that the training samples hold and scores those of the validation samples,
 * exactly the predictions that a trained model is scored on: p(y | x) = (c(x, y) + a) / (c(x) + a V), additive (with
 * a = 1 Laplace's) smoothing over the V tokens of the vocabulary.
 * @param train, validation datasets whose only input and target are token ids of the same shape, such as `text`
 * @throws DataError `data_type` for other datasets
 */
export async function bigramCrossEntropy(
  train: Dataset,
  validation: Dataset,
  smoothing = 1,
): Promise<number> {
  const classes = Math.max(train.classes ?? 0, validation.classes ?? 0);
  for (const dataset of [train, validation]) checkTokens(dataset);
  const pairs = new Map<number, number>();
  const firsts = new Float64Array(classes);
  await forEachPair(train, (x, y) => {
    const key = x * classes + y;
    pairs.set(key, (pairs.get(key) ?? 0) + 1);
    firsts[x]!++;
  });
  let nats = 0;
  let count = 0;
  await forEachPair(validation, (x, y) => {
    const seen = pairs.get(x * classes + y) ?? 0;
    nats -= Math.log((seen + smoothing) / (firsts[x]! + smoothing * classes));
    count++;
  });
  return nats / count;
}

function checkTokens(dataset: Dataset): void {
  const { inputs, target, classes } = dataset;
  const [input, ...others] = inputs;
  const tokens =
    input?.dtype === 'int64' && target.dtype === 'int64' && others.length === 0 && classes !== undefined;
  if (tokens && elementsOf(input.sampleShape) === elementsOf(target.sampleShape)) return;
  throw new DataError('data_type', 'a bigram model takes token ids in and out, as text datasets have', {
    found: `${inputs.map((tensor) => tensor.dtype).join(', ')} to ${target.dtype}`,
  });
}

async function forEachPair(dataset: Dataset, visit: (token: number, next: number) => void): Promise<void> {
  const context = elementsOf(dataset.target.sampleShape);
  const block = Math.max(1, Math.min(dataset.length, Math.floor(BLOCK_PAIRS / context)));
  const batch = allocateBatch(dataset, block);
  const indices = new Uint32Array(block);
  for (let start = 0; start < dataset.length; start += block) {
    const rows = Math.min(block, dataset.length - start);
    for (let i = 0; i < rows; i++) indices[i] = start + i;
    dataset.read(indices, 0, rows, batch);
    const [tokens, next] = lowWords(batch);
    for (let i = 0; i < rows * context; i++) visit(tokens[2 * i]!, next[2 * i]!);
    await setImmediate();
  }
}

/** The int64 ids as pairs of words, low word first; ids are below 2^32. */
function lowWords(batch: Batch): readonly [Uint32Array, Uint32Array] {
  const words = (array: Batch['target']) => new Uint32Array(array.buffer, array.byteOffset, 2 * array.length);
  return [words(batch.inputs[0]!), words(batch.target)];
}
