import fc from 'fast-check';
import t from 'tap';
import { pieceLength, shardBounds } from '../../../collectives/ring/bounds.js';

void t.test('shards cover a bucket once, in order, and differ by at most one element', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 30 }),
      fc.integer({ min: 1, max: 1000 }),
      (length, worldSize) => {
        let end = 0;
        const short = Math.floor(length / worldSize);
        for (let rank = 0; rank < worldSize; rank++) {
          const shard = shardBounds(length, worldSize, rank);
          if (shard.start !== end) return false;
          const size = shard.end - shard.start;
          if (size !== short && size !== short + 1) return false;
          end = shard.end;
        }
        return end === length;
      },
    ),
  );
  t.end();
});

void t.test('pieces stay within their bounds', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 30 }),
      fc.integer({ min: 1, max: 1000 }),
      fc.integer({ min: 1, max: 4096 }),
      fc.integer({ min: 0, max: 2 ** 20 }),
      (length, chunks, minimum, more) => {
        const piece = pieceLength(length, chunks, minimum, minimum + more);
        return piece >= minimum && piece <= minimum + more;
      },
    ),
  );
  t.end();
});
