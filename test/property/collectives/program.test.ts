import fc from 'fast-check';
import t from 'tap';
import { PieceCursor } from '../../../collectives/communicator/cursor.js';
import { shardBounds } from '../../../collectives/ring/bounds.js';
import { ringCost } from '../../../collectives/ring/cost.js';
import {
  allGatherProgram,
  allReduceProgram,
  broadcastProgram,
  leftOf,
  reduceScatterProgram,
  rightOf,
  type RingProgram,
} from '../../../collectives/ring/program.js';

/** Whether every send meets its receive, and a chunk leaves only after it has arrived. */
function consistent(make: (rank: number) => RingProgram, worldSize: number): boolean {
  for (let rank = 0; rank < worldSize; rank++) {
    const mine = make(rank);
    const right = make(rightOf(rank, worldSize));
    if (mine.sendSteps !== right.receiveSteps) return false;
    for (let step = 0; step < mine.sendSteps; step++) {
      if (mine.chunkSent(step) !== right.chunkReceived(step)) return false;
      if (step >= mine.lag && mine.chunkSent(step) !== mine.chunkReceived(step - mine.lag)) return false;
    }
  }
  return true;
}

void t.test('neighbours are each other’s', (t) => {
  for (const worldSize of [1, 2, 5, 1000]) {
    for (let rank = 0; rank < worldSize; rank++) t.equal(leftOf(rightOf(rank, worldSize), worldSize), rank);
  }
  t.end();
});

function allConsistent(worldSize: number, root: number): boolean {
  return (
    consistent((rank) => reduceScatterProgram(rank, worldSize), worldSize) &&
    consistent((rank) => allGatherProgram(rank, worldSize), worldSize) &&
    consistent((rank) => allReduceProgram(rank, worldSize), worldSize) &&
    consistent((rank) => broadcastProgram(rank, worldSize, root), worldSize)
  );
}

void t.test('what a rank sends is what its right neighbour receives', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), (worldSize, at) =>
      allConsistent(worldSize, at % worldSize),
    ),
    { numRuns: 40 },
  );
  t.ok(allConsistent(1000, 617), 'also with 1,000 ranks');
  t.end();
});

void t.test('reduce-scatter ends with chunk r at rank r, having passed every other rank', (t) => {
  for (const worldSize of [2, 3, 8, 1000]) {
    for (let rank = 0; rank < worldSize; rank++) {
      const program = reduceScatterProgram(rank, worldSize);
      t.equal(program.chunkReceived(program.receiveSteps - 1), rank);
      const received = new Set(
        Array.from({ length: worldSize - 1 }, (_, step) => program.chunkReceived(step)),
      );
      if (received.size !== worldSize - 1) t.fail(`rank ${rank} of ${worldSize} receives a chunk twice`);
    }
  }
  t.end();
});

void t.test('an all-reduce is a reduce-scatter and an all-gather', (t) => {
  for (const worldSize of [2, 3, 8]) {
    for (let rank = 0; rank < worldSize; rank++) {
      const whole = allReduceProgram(rank, worldSize);
      const halves = [reduceScatterProgram(rank, worldSize), allGatherProgram(rank, worldSize)] as const;
      for (let step = 0; step < whole.sendSteps; step++) {
        const second = step >= worldSize - 1;
        const half = halves[second ? 1 : 0];
        const at = second ? step - worldSize + 1 : step;
        t.equal(whole.chunkSent(step), half.chunkSent(at));
        t.equal(whole.chunkReceived(step), half.chunkReceived(at));
        t.equal(whole.reduces(step), half.reduces(at));
        t.equal(whole.final(step), half.final(at));
      }
    }
  }
  t.end();
});

void t.test('cursors walk every piece of every step once', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 300 }),
      fc.integer({ min: 2, max: 9 }),
      fc.integer({ min: 1, max: 40 }),
      (length, worldSize, piece) => {
        const program = allReduceProgram(0, worldSize);
        const cursor = new PieceCursor(program, length, piece, program.sendSteps, (step) =>
          program.chunkSent(step),
        );
        for (let step = 0; step < program.sendSteps; step++) {
          const { start, end } = shardBounds(length, worldSize, program.chunkSent(step));
          let pieces = 0;
          for (let at = start; at < end; at += piece) {
            if (cursor.step !== step || cursor.piece !== pieces) return false;
            if (cursor.start !== at || cursor.end !== Math.min(end, at + piece)) return false;
            if (cursor.isPast(step, pieces)) return false;
            cursor.next();
            if (!cursor.isPast(step, pieces)) return false;
            pieces++;
          }
        }
        return cursor.done;
      },
    ),
  );
  t.end();
});

void t.test('costs are those of the chunks', (t) => {
  const bytesOf = (program: RingProgram, length: number): number => {
    let elements = 0;
    for (let step = 0; step < program.sendSteps; step++) {
      const { start, end } = shardBounds(length, program.chunks, program.chunkSent(step));
      elements += end - start;
    }
    return 4 * elements;
  };
  for (const worldSize of [2, 4, 5]) {
    const length = worldSize * 100;
    t.equal(
      bytesOf(reduceScatterProgram(0, worldSize), length),
      ringCost('reduce-scatter', worldSize, length, 4).sentBytes,
    );
    t.equal(
      bytesOf(allGatherProgram(0, worldSize), length),
      ringCost('all-gather', worldSize, length, 4).sentBytes,
    );
    t.equal(
      bytesOf(allReduceProgram(0, worldSize), length),
      ringCost('all-reduce', worldSize, length, 4).sentBytes,
    );
    t.equal(
      bytesOf(broadcastProgram(0, worldSize, 0), length),
      ringCost('broadcast', worldSize, length, 4).sentBytes,
    );
    t.equal(allReduceProgram(0, worldSize).sendSteps, ringCost('all-reduce', worldSize, length, 4).steps);
  }
  t.end();
});
