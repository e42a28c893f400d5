import fc from 'fast-check';
import t from 'tap';
import { layoutBuckets } from '../../../scheduler/index.js';

const parameter = fc.record({
  shape: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }),
});

t.test('every parameter has its own aligned place, in order, and buckets close at their size', (t) => {
  fc.assert(
    fc.property(
      fc.array(parameter, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 4096 }),
      (list, bytes) => {
        const parameters = list.map(({ shape }, i) => ({
          name: `p${i}`,
          type: { dtype: 'float32' as const, shape },
        }));
        const buckets = layoutBuckets(parameters, bytes);
        const places = buckets.flatMap((bucket) => bucket.places);
        if (places.map((place) => place.name).join() !== parameters.map((p) => p.name).join()) return false;
        return buckets.every((bucket, index) => {
          let end = 0;
          for (const place of bucket.places) {
            if (place.bucket !== index || place.offset % 16 !== 0 || place.offset < end) return false;
            end = place.offset + place.size;
          }
          const closedInTime = (bucket.places.at(-1)?.offset ?? 0) * 4 < bytes;
          const full = index === buckets.length - 1 || bucket.length * 4 >= bytes;
          return end <= bucket.length && bucket.length % 16 === 0 && closedInTime && full;
        });
      },
    ),
  );
  t.end();
});

t.test('groups lie side by side within a bucket; which bucket a parameter is in stays', (t) => {
  const grouped = fc.record({
    shape: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 2 }),
    group: fc.nat(2),
  });
  fc.assert(
    fc.property(
      fc.array(grouped, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 2048 }),
      (list, bytes) => {
        const parameters = list.map(({ shape, group }, i) => ({
          name: `p${i}`,
          type: { dtype: 'float32' as const, shape },
          group,
        }));
        const without = layoutBuckets(
          parameters.map(({ name, type }) => ({ name, type })),
          bytes,
        );
        return layoutBuckets(parameters, bytes).every(({ length, places }, index) => {
          const names = new Set(without[index]!.places.map(({ name }) => name));
          let end = 0;
          for (const [i, { name, group, offset, size }] of places.entries()) {
            const before = places[i - 1];
            const order = (of: string) => Number(of.slice(1));
            if (!names.delete(name) || offset < end || offset % 16 !== 0) return false;
            if (
              before &&
              (before.group > group || (before.group === group && order(before.name) > order(name)))
            )
              return false;
            end = offset + size;
          }
          return names.size === 0 && length === without[index]!.length && end <= length;
        });
      },
    ),
  );
  t.end();
});
