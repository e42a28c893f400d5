import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { IllegalTransitionError } from '../../../coordinator/errors.js';
import {
  beginLaunch,
  nextLaunch,
  type LaunchCommand,
  type LaunchEvent,
} from '../../../coordinator/launch/index.js';

const RANKS = 3;
const rank = fc.nat(RANKS - 1);
const error = fc.record({
  family: fc.constantFrom('user', 'peer', 'bug'),
  code: fc.constantFrom('peer_lost', 'executor_died', 'diverged'),
  message: fc.constant('told'),
  ids: fc.oneof(fc.constant({}), fc.record({ expectedRank: fc.nat(RANKS) })),
  device: fc.constantFrom('d0', 'd1', 'd2'),
});
const event: fc.Arbitrary<LaunchEvent> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('ready' as const), rank, endpoint: fc.constant('e') }),
  },
  fc.record({ type: fc.constant('finished' as const), rank }),
  fc.record({ type: fc.constant('failed' as const), rank, error }),
  fc.record({ type: fc.constant('lost' as const), rank, error }),
  { weight: 2, arbitrary: fc.record({ type: fc.constant('stopped' as const), rank }) },
  fc.constant({ type: 'cancel' as const }),
  fc.record({ type: fc.constant('abort' as const), error }),
  fc.record({ type: fc.constant('time_up' as const), timer: fc.constantFrom('assemble', 'doubt', 'stop') }),
);

/** What a run does with the machine: an event that cannot be is taken for a fault of the daemon. */
function drive(events: readonly LaunchEvent[]) {
  let { state, commands } = beginLaunch(Array.from({ length: RANKS }, (_, i) => `d${i}`));
  const all: LaunchCommand[] = [...commands];
  for (const next of events) {
    try {
      ({ state, commands } = nextLaunch(state, next));
    } catch (thrown) {
      if (!(thrown instanceof IllegalTransitionError)) throw thrown;
      const abort = {
        family: 'bug',
        code: 'internal',
        message: thrown.message,
        ids: {},
        device: null,
      } as const;
      ({ state, commands } = nextLaunch(state, { type: 'abort', error: abort }));
    }
    all.push(...commands);
  }
  return { state, commands: all };
}

t.test('a launch settles once at most, and releases each rank once at most', (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const { state, commands } = drive(events);
      const settled = commands.filter((command) => command.type === 'settle');
      assert.ok(settled.length <= 1);
      assert.equal(settled.length === 1, state.phase === 'stopping' || state.phase === 'over');
      const released = commands.flatMap((command) => (command.type === 'release' ? [command.rank] : []));
      assert.equal(new Set(released).size, released.length);
      if (state.phase === 'over') assert.equal(released.length, RANKS, 'over means that no device is held');
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('whatever happened, its timers bring a launch to its end', (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 20 }), (events) => {
      // training itself has no deadline: it ends by the ranks, or by the leases of their daemons
      const { state } = drive([
        ...events,
        ...(['assemble', 'doubt'] as const).map((timer): LaunchEvent => ({ type: 'time_up', timer })),
        { type: 'cancel' },
        { type: 'time_up', timer: 'stop' },
      ]);
      assert.equal(state.phase, 'over');
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('success needs every rank’s finish', (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const { state } = drive(events);
      if (state.phase !== 'over' || state.verdict.kind !== 'succeeded') return;
      for (let i = 0; i < RANKS; i++)
        assert.ok(events.some((one) => one.type === 'finished' && one.rank === i));
    }),
    { numRuns: 300 },
  );
  t.end();
});
