import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../../base/index.js';
import { bindGraph, readModel, standardOperators } from '../../../graph/index.js';
import { AttributeProtoSchema, ModelProtoSchema } from '../../../graph/onnx/gen/onnx_pb.js';
import { repositoryRoot } from '../../root.js';
import { Draw } from './draw.js';

const RUNS = 100;
/** The nodes come first in these files: damage to weights is not interesting. */
const GRAPH_BYTES = 24_000;
/** Nothing is allocated by what a damaged file merely claims. */
const MOST_MEGABYTES = 200;
const SLOWEST_SECONDS = 2;

/** A few random edits: bytes changed, cut off, moved, or replaced by the longest varints. */
function damaged(original: Uint8Array, draw: Draw): Uint8Array {
  let bytes = Uint8Array.from(original);
  for (let edits = draw.between(1, 4); edits > 0; edits--) {
    const at = draw.below(Math.min(bytes.length, GRAPH_BYTES));
    const length = draw.between(1, 16);
    switch (draw.below(5)) {
      case 0:
        bytes[at] = draw.below(256);
        break;
      case 1:
        bytes[at]! ^= 1 << draw.below(8);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes.copyWithin(at, draw.below(bytes.length), draw.below(bytes.length));
        break;
      default:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...new Uint8Array(length).fill(255),
          ...bytes.subarray(at),
        ]);
    }
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}

/** Edits that leave a decodable file: other operators, missing operands, extreme numbers, other shapes. */
function distorted(original: Uint8Array, draw: Draw): Uint8Array {
  const model = fromBinary(ModelProtoSchema, original);
  const { node, initializer, input } = model.graph!;
  const number = (): bigint => draw.one([0n, 1n, -1n, 2n, 7n, -(2n ** 31n), 2n ** 31n, 2n ** 40n, 2n ** 62n]);
  for (let edits = draw.between(1, 3); edits > 0; edits--) {
    const some = draw.one(node);
    switch (draw.below(7)) {
      case 0:
        some.opType = draw.one(standardOperators.all()).operator;
        break;
      case 1:
        some.input.splice(draw.below(some.input.length + 1), 1);
        break;
      case 2:
        some.input[draw.below(3)] = draw.one(node).output[0] ?? '';
        break;
      case 3:
        for (const each of some.attribute) {
          if (each.i !== undefined) each.i = number();
          else if (each.ints.length > 0) each.ints = each.ints.map(number);
          else if (each.t?.rawData?.length === 8)
            each.t.rawData = new Uint8Array(BigInt64Array.of(number()).buffer);
        }
        break;
      case 4: {
        const name = draw.one([
          'axis',
          'to',
          'group',
          'kernel_shape',
          'strides',
          'pads',
          'dilations',
          'perm',
          'start',
          'end',
        ]);
        const ints = Array.from({ length: draw.between(1, 4) }, number);
        const attribute = draw.flag() ? { name, type: 7, ints } : { name, type: 2, i: number() };
        some.attribute = [create(AttributeProtoSchema, attribute)];
        break;
      }
      case 5:
        if (initializer.length > 0)
          draw.one(initializer).dims = Array.from({ length: draw.below(4) }, number);
        break;
      default:
        for (const dim of draw.one(input).type?.tensorType?.shape?.dim ?? []) {
          if (draw.flag()) dim.value = { case: 'dimValue', value: number() };
        }
    }
  }
  return toBinary(ModelProtoSchema, model);
}

for (const name of ['lenet', 'tabular', 'gpt', 'vit', 'text-classifier', 'autoencoder']) {
  const original = readFileSync(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx'));
  for (const [what, damage] of Object.entries({ damaged, distorted })) {
    t.test(`a ${what} ${name} is refused in words, or is a model still`, (t) => {
      const before = process.memoryUsage.rss();
      let read = 0;
      let slowest = 0;
      const property = fc.property(fc.nat(), (seed) => {
        const bytes = damage(original, new Draw(seed));
        const started = performance.now();
        try {
          bindGraph(readModel(bytes).graph, { batch: 2 });
          read++;
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
        }
        slowest = Math.max(slowest, performance.now() - started);
      });
      fc.assert(property, { numRuns: RUNS, includeErrorInReport: true });
      const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
      t.ok(grown < MOST_MEGABYTES, `${read} of ${RUNS} read; memory grew by ${grown.toFixed(0)} MiB`);
      t.ok(slowest < SLOWEST_SECONDS * 1000, `the slowest took ${slowest.toFixed(0)} ms`);
      t.end();
    });
  }
}
