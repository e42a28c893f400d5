import fc from 'fast-check';
import t from 'tap';
import { makeSchedule, simulate } from '../../../scheduler/pipeline/index.js';
import { pipelineSeconds } from '../../../scheduler/planner/chain.js';

const seconds = fc.double({ min: 0, max: 10, noNaN: true });
const stage = fc.record({ forward: seconds, latency: seconds, wire: seconds });

/** Messages of one stage may wait for those before them, which the estimate does not see. */
const ABOVE = 1.15;

t.test(
  '1F1B is simulated to take little longer at most than what the dynamic programme takes it for',
  async (t) => {
    fc.assert(
      fc.property(
        fc.array(stage, { minLength: 1, maxLength: 7 }),
        fc.integer({ min: 1, max: 12 }),
        fc.double({ min: 0.1, max: 3, noNaN: true }),
        (stages, microBatches, ratio) => {
          const schedule = makeSchedule('1f1b', { ranks: stages.length, microBatches });
          const { seconds: simulated } = simulate(schedule, {
            stages: stages.map(({ forward }) => ({
              forward,
              backwardInput: forward * ratio,
              backwardWeight: forward * ratio,
            })),
            transfer: (_from, _to, kind, at) => stages[kind === 'activation' ? at : at - 1]!,
          });
          const each = stages.map(({ forward, latency, wire }, i) => {
            const crossing = i + 1 < stages.length ? 2 * (latency + wire) : 0;
            return forward * (1 + 2 * ratio) + crossing;
          });
          const taken = pipelineSeconds(microBatches, {
            sum: each.reduce((sum, one) => sum + one, 0),
            longest: Math.max(...each),
            after: 0,
          });
          return simulated <= taken * ABOVE + 1e-12; // denormal numbers round as they like
        },
      ),
      { numRuns: 1000 },
    );
    t.pass();
  },
);
