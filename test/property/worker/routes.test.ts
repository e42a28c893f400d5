import fc from 'fast-check';
import t from 'tap';
import { sharesOf } from '../../../data/index.js';
import { hopsOf, routesOf } from '../../../worker/pipeline/routes.js';
import { slicesOf } from '../../../worker/pipeline/slices.js';
import { partsWithHops, peersOf } from '../../../worker/pipeline/neighbours.js';
import { leastPart, mostSizes, partsOf, replicasOf } from '../../../worker/run/parts.js';

/** So many samples, cut in parts of which some are empty. */
const cut = (total: number, parts: number) =>
  fc
    .array(fc.integer({ min: 0, max: total }), { minLength: parts - 1, maxLength: parts - 1 })
    .map((at) => [0, ...at.sort((a, b) => a - b), total])
    .map((bounds) => bounds.slice(1).map((end, i) => end - bounds[i]!));

const pair = fc
  .record({
    total: fc.integer({ min: 1, max: 40 }),
    above: fc.integer({ min: 1, max: 5 }),
    below: fc.integer({ min: 1, max: 5 }),
  })
  .chain(({ total, above, below }) => fc.tuple(cut(total, above), cut(total, below)))
  .map(([above, below]) => [sharesOf(above), sharesOf(below)] as const);

t.test('every sample goes from the replica that has it to the replica that uses it, once', async () => {
  fc.assert(
    fc.property(pair, ([producers, consumers]) => {
      const routes = routesOf(producers, consumers);
      consumers.forEach(({ start, end }, consumer) => {
        const own = routes.filter((route) => route.consumer === consumer);
        let at = start;
        for (const [i, route] of own.entries()) {
          const producer = producers[route.producer]!;
          if (route.start !== at || route.end <= route.start) return false;
          if (producer.start > route.start || producer.end < route.end) return false;
          if (route.first !== (i === 0)) return false;
          at = route.end;
        }
        if (at !== end) throw new Error(`consumer ${consumer} gets samples up to ${at} of ${end}`);
        return true;
      });
      return routes.length <= producers.length + consumers.length - 1;
    }),
  );
});

t.test('both ends of a route see the same samples', async () => {
  fc.assert(
    fc.property(pair, ([producers, consumers]) => {
      const routes = routesOf(producers, consumers);
      const ranks = (count: number, first: number) => Array.from({ length: count }, (_, i) => first + i);
      const [above, below] = [ranks(producers.length, 0), ranks(consumers.length, 100)];
      const sent = producers.flatMap((own, i) =>
        hopsOf(routes, 'producer', i, own, below).map((hop) =>
          [i, hop.peer - 100, own.start + hop.from, own.start + hop.to, hop.first].join(),
        ),
      );
      const received = consumers.flatMap((own, i) =>
        hopsOf(routes, 'consumer', i, own, above).map((hop) =>
          [hop.peer, i, own.start + hop.from, own.start + hop.to, hop.first].join(),
        ),
      );
      return sent.sort().join(' ') === received.sort().join(' ');
    }),
  );
});

/** Pipeline ranks with replicas that share some micro-batches unevenly, and a batch that need not be a full one. */
const plans = fc
  .record({
    sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
    replicas: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 3 }),
    stagesPerRank: fc.integer({ min: 1, max: 2 }),
  })
  .chain(({ sizes, replicas, stagesPerRank }) =>
    fc.tuple(
      fc.tuple(...replicas.map((count) => fc.tuple(...sizes.map((size) => cut(size, count))))),
      fc.constant(stagesPerRank),
      fc.integer({ min: 1, max: sizes.reduce((sum, size) => sum + size, 0) }),
    ),
  )
  .map(([shares, stagesPerRank, count]) => {
    const ranks = shares.flatMap((microBatches, pipelineRank) =>
      microBatches[0]!.map((_, replica) => ({
        device: 'd',
        host: 'h',
        pipelineRank,
        samples: microBatches.map((parts) => parts[replica]!),
        budgetBytes: 0,
        accountedBytes: 0,
      })),
    );
    const batch = shares[0]!.flat().reduce((sum, share) => sum + share, 0);
    return { plan: { ranks, batch, totalSteps: 100, pipeline: { stagesPerRank } }, count };
  });

t.test('each pipeline rank covers a batch, whatever its length, in order', async () => {
  fc.assert(
    fc.property(plans, ({ plan, count }) =>
      [...new Set(plan.ranks.map(({ pipelineRank }) => pipelineRank))].every((pipelineRank) => {
        let at = 0;
        for (const { start, end } of partsOf(plan, pipelineRank, count).flat()) {
          if (start !== at || end < start) return false;
          at = end;
        }
        return at === count;
      }),
    ),
  );
});

t.test('what a rank means to send, in whatever batch, is what its peer means to receive', async () => {
  fc.assert(
    fc.property(plans, ({ plan, count }) => {
      const rows = { training: plan.batch + count, validation: [count] };
      const peers = plan.ranks.map((_, rank) => peersOf(plan, rank, rows));
      const last = Math.max(...plan.ranks.map(({ pipelineRank }) => pipelineRank));
      plan.ranks.forEach(({ pipelineRank }, rank) => {
        const next = replicasOf(plan, (pipelineRank + 1) % (last + 1));
        const leads = pipelineRank < last || plan.pipeline.stagesPerRank > 1;
        for (const size of [plan.batch, count]) {
          for (const part of partsWithHops(plan, rank, size)) {
            if (!leads && part.down.length > 0) throw new Error('the last stage sends nowhere');
            const sent = part.down.reduce((sum, { from, to }) => sum + to - from, 0);
            if (leads && sent !== part.end - part.start) throw new Error(`rank ${rank} keeps samples back`);
            for (const hop of part.down) {
              const there = partsWithHops(plan, hop.peer, size).find(
                (p) => p.microBatch === part.microBatch,
              )!;
              const back = there.up.find(({ peer }) => peer === rank)!;
              const same = there.start + back.from === part.start + hop.from && back.first === hop.first;
              if (!same || back.to - back.from !== hop.to - hop.from) throw new Error('the ends disagree');
              if (!next.includes(hop.peer)) throw new Error('not a replica of the next stage');
              if (!peers[rank]!.down.has(hop.peer) || !peers[hop.peer]!.up.has(rank))
                throw new Error('no stream is opened for it');
            }
          }
        }
      });
    }),
    { numRuns: 60 },
  );
});

t.test('the smallest part and the number of sizes are those that batches have', async () => {
  fc.assert(
    fc.property(plans, ({ plan, count }) => {
      const rows = plan.batch + count;
      const batches = [plan.batch, rows % plan.batch].filter((size) => size > 0);
      const sizes = plan.ranks.map((_, rank) =>
        batches.map((size) => partsWithHops(plan, rank, size).map(({ start, end }) => end - start)),
      );
      if (leastPart(plan, rows) !== Math.min(...sizes.flat(2))) return false;
      return sizes.every((own, rank) => {
        const most = Math.max(...own.map((batch) => new Set(batch).size));
        return mostSizes(plan, rank, rows) >= most;
      });
    }),
  );
});

t.test('slices of a value are its samples, wherever its sample axis is', async () => {
  const shapes = fc.record({
    outer: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
    samples: fc.integer({ min: 1, max: 5 }),
    // entries of the axis for each sample, as where a view has folded batch and sequence into one
    each: fc.integer({ min: 1, max: 3 }),
    inner: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
    bounds: fc.tuple(fc.nat(5), fc.nat(5)),
  });
  fc.assert(
    fc.property(shapes, ({ outer, samples, each, inner, bounds }) => {
      const [from, to] = bounds.map((at) => Math.min(at, samples)).sort((a, b) => a - b) as [number, number];
      const shape = [...outer, samples * each, ...inner];
      const product = (dims: readonly number[]) => dims.reduce((all, dim) => all * dim, 1);
      const size = product(inner);
      const wanted: number[] = [];
      for (let i = 0; i < product(shape); i++) {
        const sample = Math.floor((Math.floor(i / size) % (samples * each)) / each);
        if (sample >= from && sample < to) wanted.push(i);
      }
      const found = slicesOf({ dtype: 'float32', shape }, outer.length, samples, from, to).flatMap(
        ({ offset, bytes }) => Array.from({ length: bytes / 4 }, (_, i) => offset / 4 + i),
      );
      return found.join() === wanted.join();
    }),
  );
});
