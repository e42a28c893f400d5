import type { Dataset, DataType, ValuePlace } from '../dataset.js';
import { DataError } from '../errors.js';
import { fitOrRefuse, type Dimension } from '../fit.js';
import type { OpenRequest } from '../request.js';
import type { TextSpec } from '../schema.js';
import { wishedType } from '../storage/arrays.js';
import { Column } from '../storage/column.js';
import { elementBytes, type ElementKind } from '../storage/elements.js';
import { checkHeld, openBytes, openHeld, type LocalFile, type StorageLimits } from '../storage/open.js';
import { MemorySource, type ByteSource } from '../storage/source.js';
import { rowRange, StoredDataset, type BoundColumn } from '../storage/stored.js';
import { encodeCharacters } from './characters.js';

interface TokenSource {
  readonly source: ByteSource;
  readonly kind: ElementKind;
  /** Tokens in all. */
  readonly count: number;
  readonly classes: number;
  readonly vocabulary?: readonly string[];
}

/**
 * Opens text for language modelling: sample i is the tokens `[i * stride, i * stride + context)`, its target the same
 * window one token later, so that every position predicts the token that follows.
 *
 * `char`: tokens are Unicode characters; the vocabulary comes from the whole training text (not its `rows` alone) and
 * is in `context.vocabulary`. `byte`: tokens are the bytes, 256 classes; a single large file is read where it lies.
 * Several files are one sequence, so samples may run over a file's end. Samples overlap in memory, they are not copied.
 * @throws DataError
 */
export async function openText(spec: TextSpec, request: OpenRequest): Promise<Dataset> {
  const files = filesOfText(spec).map(request.file);
  const name = files.map((file) => file.name).join(', ');
  if (request.target.kind !== 'classes') {
    throw new DataError(
      'data_type',
      `${name}: the target of text is the next token; use loss: cross_entropy`,
      {
        file: name,
        accepted: 'cross_entropy',
      },
    );
  }
  const tokens = await (spec.tokens === 'char'
    ? openCharacters(files, request)
    : openByteTokens(files, request.limits));
  try {
    return datasetOfTokens(spec, name, tokens, request);
  } catch (error) {
    tokens.source.close();
    throw error;
  }
}

function filesOfText(spec: TextSpec): readonly string[] {
  if ((spec.path === undefined) === (spec.files === undefined)) {
    throw new DataError('data_spec', 'a text dataset takes either path: (one file) or files: (a list)', {});
  }
  return spec.files ?? [spec.path!];
}

function datasetOfTokens(spec: TextSpec, name: string, tokens: TokenSource, request: OpenRequest): Dataset {
  const { context } = spec;
  const stride = spec.stride ?? context;
  if (tokens.count < context + 1) {
    throw new DataError(
      'data_empty',
      `${name}: has ${tokens.count} tokens, a sample with its target takes ${context + 1}; use a smaller context or more text`,
      { file: name, found: tokens.count, accepted: context + 1 },
    );
  }
  const length = Math.floor((tokens.count - 1 - context) / stride) + 1;
  const column = (shift: number, dtype: DataType) => tokenColumn(tokens, context, stride, shift, dtype);
  const fit = (what: string, shape: readonly Dimension[] | undefined) =>
    shape
      ? fitOrRefuse(what, name, [context], shape.slice(1), `set context: to the length that the model takes`)
      : [context];
  return new StoredDataset({
    inputs: [bindInput(name, request, column, fit)],
    target: { column: column(1, 'int64'), sampleShape: fit('the target', request.target.shape) },
    sources: [tokens.source],
    rows: rowRange(name, spec.rows, length),
    classes: tokens.classes,
    context: tokens.vocabulary ? { ...request.context, vocabulary: tokens.vocabulary } : request.context,
    place: (row, tensor, element): ValuePlace => {
      const token = row * stride + element + (tensor === 'target' ? 1 : 0);
      return {
        file: name,
        rowLabel: `sample ${row} (from 0)`,
        row,
        columnLabel: `token ${token} of the text`,
        column: token,
      };
    },
  });
}

function bindInput(
  name: string,
  request: OpenRequest,
  column: (shift: number, dtype: DataType) => Column,
  fit: (what: string, shape: readonly Dimension[] | undefined) => number[],
): BoundColumn {
  if (!request.inputs) return { column: column(0, 'int64'), sampleShape: fit('the text', undefined) };
  const [wish, ...others] = request.inputs;
  if (!wish || others.length > 0) {
    const takes = request.inputs.map((input) => input.name).join(', ');
    throw new DataError('data_name', `${name}: text feeds a model of one input, this one takes ${takes}`, {
      found: takes,
    });
  }
  const dtype = wishedType(wish);
  if (dtype !== 'int64' && dtype !== 'int32') {
    throw new DataError(
      'data_type',
      `${name}: text gives token ids (int64 or int32), but the model's input ${wish.name} is ${dtype}`,
      { file: name, found: dtype, accepted: 'int64' },
    );
  }
  return { name: wish.name, column: column(0, dtype), sampleShape: fit('the text', wish.shape) };
}

function tokenColumn(
  tokens: TokenSource,
  context: number,
  stride: number,
  shift: number,
  dtype: DataType,
): Column {
  const width = elementBytes(tokens.kind);
  return new Column({
    source: tokens.source,
    kind: tokens.kind,
    littleEndian: true,
    firstByte: shift * width,
    strideBytes: stride * width,
    sampleShape: [context],
    dtype,
  });
}

async function openCharacters(files: readonly LocalFile[], request: OpenRequest): Promise<TokenSource> {
  const { tokens, vocabulary } = await encodeCharacters(files, request.context.vocabulary, request.limits);
  const kind = tokens instanceof Uint8Array ? 'u1' : tokens instanceof Uint16Array ? 'u2' : 'u4';
  const name = files.map((file) => file.name).join(', ');
  const source = new MemorySource(name, new Uint8Array(tokens.buffer));
  return { source, kind, count: tokens.length, classes: vocabulary.length, vocabulary };
}

async function openByteTokens(files: readonly LocalFile[], limits: StorageLimits): Promise<TokenSource> {
  const token = (source: ByteSource): TokenSource => ({
    source,
    kind: 'u1',
    count: source.length,
    classes: 256,
  });
  if (files.length === 1) return token(await openBytes(files[0]!, limits));
  const remedy = 'give fewer files, or one, which is read where it lies';
  const parts: Uint8Array[] = [];
  let total = 0;
  for (const file of files) {
    const { bytes, length } = await openHeld(file, limits, remedy);
    total += length;
    checkHeld(file.name, total, limits.memoryBytes, remedy);
    parts.push(bytes);
  }
  const name = files.map((file) => file.name).join(', ');
  const joined = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return token(new MemorySource(name, joined));
}
