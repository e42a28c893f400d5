import fc from 'fast-check';
import t from 'tap';
import {
  ALIGNMENT,
  Arena,
  BudgetError,
  CollectiveUsageError,
  type Allocation,
} from '../../../collectives/index.js';

void t.test('allocations never overlap, are aligned, stay within budget and are all accounted for', (t) => {
  const step = fc.oneof(
    fc.record({ bytes: fc.integer({ min: 0, max: 3000 }) }),
    fc.record({ release: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const arena = new Arena(20_000);
      const live: Allocation[] = [];
      for (const [i, action] of steps.entries()) {
        if ('bytes' in action) {
          try {
            live.push(arena.allocate(`a${i}`, action.bytes));
          } catch (error) {
            t.ok(error instanceof BudgetError);
          }
        } else if (live.length > 0) {
          const [gone] = live.splice(action.release % live.length, 1);
          arena.release(gone!);
        }
        const sorted = arena.allocations;
        t.equal(sorted.length, live.length);
        let end = 0;
        for (const allocation of sorted) {
          if (allocation.byteOffset % ALIGNMENT !== 0 || allocation.byteOffset < end)
            t.fail('overlap or misaligned');
          end = allocation.byteOffset + allocation.byteLength;
        }
        if (end > arena.memory.buffer.byteLength || arena.usedBytes > arena.budgetBytes)
          t.fail('over budget');
      }
      for (const allocation of live) arena.release(allocation);
      t.equal(arena.usedBytes, 0);
      t.equal(
        arena.allocate('all of it', arena.budgetBytes).byteLength,
        arena.budgetBytes,
        'free ranges join again',
      );
    }),
    { numRuns: 100 },
  );
  t.end();
});

void t.test('views stay valid and writes are seen', (t) => {
  const arena = new Arena(4096, 'rank 0');
  const first = arena.float32(arena.allocate('gradients', 400));
  first.fill(2);
  arena.allocate('parameters', 400);
  t.equal(first.length, 100);
  t.equal(first[99], 2);
  t.ok(arena.owns(first));
  t.notOk(arena.owns(new Float32Array(1)));
  t.equal(first.byteOffset % ALIGNMENT, 0);
  t.end();
});

void t.test('what does not fit is refused with what is short', (t) => {
  const arena = new Arena(1024, 'rank 0');
  arena.allocate('parameters', 1000);
  try {
    arena.allocate('gradients', 1000);
    t.fail('it fits');
  } catch (error) {
    t.ok(error instanceof BudgetError);
    const { message, ids } = error as BudgetError;
    t.match(message, /rank 0: no room for gradients \(1\.00 KiB\): 1\.00 KiB short/);
    t.match(ids, { allocation: 'gradients', wantedBytes: 1024, usedBytes: 1024, shortBytes: 1024 });
  }
  t.throws(() => new Arena(5 * 2 ** 30), BudgetError);
  t.throws(() => new Arena(-1), CollectiveUsageError);
  t.throws(() => arena.release({ name: 'x', byteOffset: 0, byteLength: 0 }), CollectiveUsageError);
  t.end();
});
