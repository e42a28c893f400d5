import t from 'tap';
import { IllegalTransitionError } from '../../../coordinator/errors.js';
import { suspectOf } from '../../../coordinator/launch/blame.js';
import {
  beginLaunch,
  DOUBT_SECONDS,
  nextLaunch,
  STOP_SECONDS,
  type Failure,
  type LaunchCommand,
  type LaunchEvent,
  type LaunchState,
} from '../../../coordinator/launch/index.js';
import { LEASE_SECONDS } from '../../../coordinator/membership/index.js';

const devices = ['a/cpu:0', 'b/cpu:0', 'c/cpu:0'];

function run(
  events: readonly LaunchEvent[],
  from = beginLaunch(devices).state,
): { state: LaunchState; commands: LaunchCommand[] } {
  let state = from;
  const commands: LaunchCommand[] = [];
  for (const event of events) {
    const next = nextLaunch(state, event);
    ({ state } = next);
    commands.push(...next.commands);
  }
  return { state, commands };
}

const ready: LaunchEvent[] = devices.map((_, rank) => ({ type: 'ready', rank, endpoint: `tcp://${rank}` }));
const failure = (code: string, rank: number, change: Partial<Failure> = {}): Failure => ({
  family: 'peer',
  code,
  message: `${code} on ${rank}`,
  ids: {},
  device: devices[rank]!,
  ...change,
});
const complaint = (rank: number, about: number): LaunchEvent => ({
  type: 'failed',
  rank,
  error: failure('peer_lost', rank, { ids: { rank, expectedRank: about } }),
});
const lost = (rank: number): LaunchEvent => ({ type: 'lost', rank, error: failure('executor_died', rank) });
const stopped = (rank: number): LaunchEvent => ({ type: 'stopped', rank });

t.test('from launch to success', (t) => {
  const { state, commands } = run(ready);
  t.equal(state.phase, 'training');
  t.strictSame(commands, [{ type: 'connect', endpoints: ['tcp://0', 'tcp://1', 'tcp://2'] }]);
  const end = run(
    [0, 1, 2].map((rank): LaunchEvent => ({ type: 'finished', rank })),
    state,
  );
  t.match(end.state, { phase: 'over', verdict: { kind: 'succeeded' } });
  t.strictSame(
    end.commands.map((command) => command.type),
    ['release', 'release', 'release', 'settle'],
  );
  t.end();
});

t.test('the order in which ranks are ready does not matter to their endpoints', (t) => {
  const { commands } = run([ready[2]!, ready[0]!, ready[1]!]);
  t.strictSame(commands.at(-1), { type: 'connect', endpoints: ['tcp://0', 'tcp://1', 'tcp://2'] });
  t.end();
});

t.test('a lost device ends the launch at once, and the others are stopped', (t) => {
  const { state, commands } = run([...ready, lost(1)]);
  t.match(state, {
    phase: 'stopping',
    verdict: { kind: 'failed', error: { code: 'executor_died', device: 'b/cpu:0' } },
  });
  t.match(commands.slice(1), [
    { type: 'release', rank: 1 },
    { type: 'stop', ranks: [0, 2] },
    { type: 'settle', verdict: { kind: 'failed' } },
    { type: 'arm', timer: 'stop', seconds: STOP_SECONDS },
  ]);
  const end = run([stopped(0), stopped(2)], state);
  t.equal(end.state.phase, 'over');
  t.strictSame(end.commands, [
    { type: 'release', rank: 0 },
    { type: 'release', rank: 2 },
  ]);
  t.end();
});

t.test('a complaint does not hide the real cause', (t) => {
  const doubting = run([...ready, complaint(2, 1)]);
  t.equal(doubting.state.phase, 'doubting');
  t.strictSame(doubting.commands.at(-1), { type: 'arm', timer: 'doubt', seconds: DOUBT_SECONDS });
  t.ok(DOUBT_SECONDS > LEASE_SECONDS, 'by then a silent daemon has lost its lease');
  t.ok(DOUBT_SECONDS < 5, 'the user hears of it within five seconds');
  const { state } = run([complaint(0, 1), lost(1)], doubting.state);
  t.match(state, { verdict: { error: { code: 'executor_died', device: 'b/cpu:0' } } });
  t.end();
});

t.test('a rank’s own failure after a complaint is the cause', (t) => {
  const own = failure('diverged', 1, { family: 'user' });
  const { state } = run([...ready, complaint(0, 1), { type: 'failed', rank: 1, error: own }]);
  t.match(state, { verdict: { error: { code: 'diverged', device: 'b/cpu:0' } } });
  t.end();
});

t.test('without another cause the rank that most complaints name is to blame', (t) => {
  const { state, commands } = run([
    ...ready,
    complaint(2, 1),
    complaint(0, 1),
    complaint(1, 0),
    { type: 'time_up', timer: 'doubt' },
  ]);
  t.match(state, {
    phase: 'stopping',
    verdict: {
      error: { device: 'b/cpu:0', code: 'peer_lost', message: /b\/cpu:0 does not answer.*c\/cpu:0/ },
    },
  });
  t.match(commands.at(-3), { type: 'stop', ranks: [0, 1, 2] });
  t.end();
});

t.test('whom to suspect', (t) => {
  const ranks = devices.map((device) => ({ device, status: 'active' as const }));
  const says = (rank: number, ids: Record<string, unknown>) => ({
    rank,
    error: failure('peer_lost', rank, { ids }),
  });
  t.equal(suspectOf(ranks, [says(0, { expectedRank: 1 })]).device, 'b/cpu:0', 'who is named');
  t.equal(
    suspectOf(ranks, [says(0, { expectedRank: 1 }), says(1, { expectedRank: 0 })]).device,
    'a/cpu:0',
    'a tie goes to the lower rank',
  );
  t.equal(
    suspectOf(ranks, [says(1, { expectedRank: 0 }), says(0, { expectedRank: 2 })]).device,
    'c/cpu:0',
    'one that did not complain',
  );
  t.equal(suspectOf(ranks, [says(0, { peer: 2 })]).device, 'c/cpu:0', 'the other end of an edge');
  t.equal(
    suspectOf(ranks, [says(0, {}), says(2, { origin: 0 })]).device,
    'b/cpu:0',
    'nobody is named: the silent one',
  );
  t.equal(
    suspectOf(ranks, [says(0, {}), says(1, {}), says(2, {})]).device,
    'a/cpu:0',
    'nobody is silent: the first',
  );
  t.equal(suspectOf(ranks, [says(0, { expectedRank: 0 })]).device, 'b/cpu:0', 'nobody accuses himself');
  t.equal(suspectOf(ranks, [says(0, { expectedRank: 9 })]).device, 'b/cpu:0', 'nor a rank that is none');
  t.end();
});

t.test('a peer fault of one’s own is no complaint', (t) => {
  const own = failure('bad_artifact', 0);
  t.match(run([{ type: 'failed', rank: 0, error: own }]).state, {
    phase: 'stopping',
    verdict: { error: { code: 'bad_artifact', device: 'a/cpu:0' } },
  });
  const alone = beginLaunch(['a/cpu:0']).state;
  t.match(run([complaint(0, 1)], alone).state, { phase: 'stopping' }, 'nor anything in a ring of one');
  t.end();
});

t.test('the first cause wins', (t) => {
  const { state, commands } = run([...ready, lost(1), lost(2), { type: 'cancel' }]);
  t.match(state, { phase: 'stopping', verdict: { error: { device: 'b/cpu:0' } } });
  t.equal(commands.filter((command) => command.type === 'settle').length, 1);
  t.equal(run([stopped(0)], state).state.phase, 'over');
  t.end();
});

t.test('cancel', (t) => {
  t.match(run([{ type: 'cancel' }]), {
    state: { phase: 'stopping', verdict: { kind: 'cancelled' } },
    commands: [{ type: 'stop', ranks: [0, 1, 2] }, { type: 'settle' }, { type: 'arm' }],
  });
  const finished = run([...ready, { type: 'finished', rank: 1 }, { type: 'cancel' }]);
  t.match(
    finished.commands.find((command) => command.type === 'stop'),
    { ranks: [0, 2] },
    'who has finished is not told',
  );
  const over = run([...ready, ...[0, 1, 2].map((rank): LaunchEvent => ({ type: 'finished', rank }))]).state;
  t.strictSame(
    run([{ type: 'cancel' }, { type: 'abort', error: failure('x', 0) }], over).commands,
    [],
    'too late',
  );
  t.end();
});

t.test('deadlines', (t) => {
  const late = run([ready[0]!, { type: 'time_up', timer: 'assemble' }]);
  t.match(late.state, {
    phase: 'stopping',
    verdict: { error: { code: 'launch_deadline', device: 'b/cpu:0', message: /b\/cpu:0, c\/cpu:0/ } },
  });
  const deaf = run([stopped(0), { type: 'time_up', timer: 'stop' }], late.state);
  t.equal(deaf.state.phase, 'over');
  t.strictSame(deaf.commands.slice(1), [
    { type: 'release', rank: 1 },
    { type: 'release', rank: 2 },
  ]);
  for (const timer of ['assemble', 'doubt', 'stop'] as const) {
    t.strictSame(
      run([{ type: 'time_up', timer }], run(ready).state).commands,
      [],
      `${timer} of another phase`,
    );
  }
  t.end();
});

t.test('a rank that stops by itself', (t) => {
  t.match(run([...ready, stopped(2)]).state, {
    verdict: { error: { code: 'rank_stopped', device: 'c/cpu:0' } },
  });
  const doubting = run([...ready, complaint(2, 1), stopped(2)]);
  t.equal(doubting.state.phase, 'doubting', 'after a complaint it may');
  t.match(run([{ type: 'time_up', timer: 'doubt' }], doubting.state).commands, [
    { type: 'stop', ranks: [0, 1] },
    {},
    {},
  ]);
  t.end();
});

t.test('a device that is lost after its rank finished takes nothing with it', (t) => {
  const { state } = run([...ready, { type: 'finished', rank: 1 }, lost(1)]);
  t.equal(state.phase, 'training');
  t.end();
});

t.test('what cannot be', (t) => {
  t.throws(() => run([{ type: 'finished', rank: 0 }]), IllegalTransitionError, 'an end before the start');
  t.throws(() => run([...ready, ready[0]!]), IllegalTransitionError, 'ready twice');
  t.throws(() => run([{ type: 'stopped', rank: 3 }]), IllegalTransitionError, 'a rank that is none');
  t.end();
});
