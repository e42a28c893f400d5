import { unreachable, type Seconds } from '../../base/index.js';
import { IllegalTransitionError } from '../errors.js';
import { isComplaint, suspectOf, type Complaint } from './blame.js';
import type { Failure, Rank } from './rank.js';

/**
 * One launch of a job on its ranks, as a pure state machine: events in, the next state and commands out.
 *
 *     assembling -all ready-> training -all finished-> over(succeeded)
 *     assembling, training -a complaint about a peer-> doubting -root cause or time up-> stopping(failed)
 *     assembling, training, doubting -device lost, rank failed, cancel, abort-> stopping(verdict)
 *     stopping -all stopped, gone or time up-> over(verdict)
 *
 * The first cause wins. A rank that lost its ring neighbour only complains: the reason is usually on its way
 * (its executor died, its daemon's lease ran out), so the verdict waits for it as long as a lease lasts.
 */
export type LaunchState =
  | { readonly phase: 'assembling'; readonly ranks: readonly Rank[] }
  | { readonly phase: 'training'; readonly ranks: readonly Rank[] }
  | {
      readonly phase: 'doubting';
      readonly ranks: readonly Rank[];
      readonly complaints: readonly [Complaint, ...Complaint[]];
    }
  | { readonly phase: 'stopping'; readonly ranks: readonly Rank[]; readonly verdict: Verdict }
  | { readonly phase: 'over'; readonly ranks: readonly Rank[]; readonly verdict: Verdict };

export type Verdict =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: Failure };

export type LaunchEvent =
  | { readonly type: 'ready'; readonly rank: number; readonly endpoint: string }
  | { readonly type: 'finished'; readonly rank: number }
  | { readonly type: 'failed'; readonly rank: number; readonly error: Failure }
  | { readonly type: 'lost'; readonly rank: number; readonly error: Failure }
  | { readonly type: 'stopped'; readonly rank: number }
  | { readonly type: 'cancel' }
  /** The coordinator itself must end it. */
  | { readonly type: 'abort'; readonly error: Failure }
  | { readonly type: 'time_up'; readonly timer: LaunchTimer };

export type LaunchTimer = 'assemble' | 'doubt' | 'stop';

export type LaunchCommand =
  /** Tell every rank where the others listen: they begin to train. */
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  /** Tell these ranks to end. */
  | { readonly type: 'stop'; readonly ranks: readonly number[]; readonly reason: string }
  | { readonly type: 'arm'; readonly timer: LaunchTimer; readonly seconds: Seconds }
  /** The verdict is known; ranks may still be stopping. */
  | { readonly type: 'settle'; readonly verdict: Verdict }
  /** Nothing of the launch runs on this rank's device any more. */
  | { readonly type: 'release'; readonly rank: number };

export interface LaunchStep {
  readonly state: LaunchState;
  readonly commands: readonly LaunchCommand[];
}

/** Fetching the model and data, compiling: a large model over a slow link takes its time. */
export const ASSEMBLE_SECONDS: Seconds = 900;
/** A lease and a little: by then the coordinator knows of any daemon that fell silent. */
export const DOUBT_SECONDS: Seconds = 3.5;
export const STOP_SECONDS: Seconds = 10;

export function beginLaunch(devices: readonly string[]): LaunchStep {
  return {
    state: { phase: 'assembling', ranks: devices.map((device) => ({ device, status: 'active' })) },
    commands: [{ type: 'arm', timer: 'assemble', seconds: ASSEMBLE_SECONDS }],
  };
}

/** @throws IllegalTransitionError for what a launch cannot meet in its state: a finish before the start, a rank that is none */
export function nextLaunch(state: LaunchState, event: LaunchEvent): LaunchStep {
  if ('rank' in event && !state.ranks[event.rank])
    throw new IllegalTransitionError('a launch', state.phase, `${event.type} of no rank`);
  switch (event.type) {
    case 'ready':
      return ready(state, event.rank, event.endpoint);
    case 'finished':
      return finished(state, event.rank);
    case 'failed':
      return isOpen(state) ? failed(state, event.rank, event.error) : stay(state);
    case 'lost':
      return lost(state, event.rank, event.error);
    case 'stopped':
      return stopped(state, event.rank);
    case 'cancel':
      return isOpen(state) ? stop(state, { kind: 'cancelled' }, 'the job was cancelled') : stay(state);
    case 'abort':
      return isOpen(state)
        ? stop(state, { kind: 'failed', error: event.error }, event.error.message)
        : stay(state);
    case 'time_up':
      return timeUp(state, event.timer);
    default:
      return unreachable(event);
  }
}

type OpenState = Extract<LaunchState, { phase: 'assembling' | 'training' | 'doubting' }>;

function isOpen(state: LaunchState): state is OpenState {
  return state.phase === 'assembling' || state.phase === 'training' || state.phase === 'doubting';
}

function stay(state: LaunchState): LaunchStep {
  return { state, commands: [] };
}

function ready(state: LaunchState, rank: number, endpoint: string): LaunchStep {
  if (state.phase !== 'assembling') {
    if (state.phase === 'training') throw new IllegalTransitionError('a launch', state.phase, 'ready');
    return stay(state);
  }
  const ranks = changed(state.ranks, rank, { endpoint });
  const endpoints = ranks.flatMap((one) => (one.endpoint === undefined ? [] : [one.endpoint]));
  if (endpoints.length < ranks.length) return stay({ ...state, ranks });
  return { state: { phase: 'training', ranks }, commands: [{ type: 'connect', endpoints }] };
}

function finished(state: LaunchState, rank: number): LaunchStep {
  if (state.phase === 'assembling') throw new IllegalTransitionError('a launch', state.phase, 'finished');
  if (state.phase === 'over' || state.ranks[rank]!.status !== 'active') return stay(state);
  const ranks = changed(state.ranks, rank, { status: 'finished' });
  const release: LaunchCommand = { type: 'release', rank };
  if (state.phase === 'stopping') return closeIfDone({ ...state, ranks }, [release]);
  if (ranks.some((one) => one.status !== 'finished'))
    return { state: { ...state, ranks }, commands: [release] };
  const verdict: Verdict = { kind: 'succeeded' };
  return { state: { phase: 'over', ranks, verdict }, commands: [release, { type: 'settle', verdict }] };
}

function failed(state: OpenState, rank: number, error: Failure): LaunchStep {
  if (!isComplaint(error) || state.ranks.length === 1)
    return stop(state, { kind: 'failed', error }, error.message);
  if (state.phase === 'doubting') {
    return stay({ ...state, complaints: [...state.complaints, { rank, error }] });
  }
  return {
    state: { phase: 'doubting', ranks: state.ranks, complaints: [{ rank, error }] },
    commands: [{ type: 'arm', timer: 'doubt', seconds: DOUBT_SECONDS }],
  };
}

function lost(state: LaunchState, rank: number, error: Failure): LaunchStep {
  const { status } = state.ranks[rank]!;
  if (status !== 'active') return stay(state);
  const ranks = changed(state.ranks, rank, { status: 'gone' });
  const release: LaunchCommand = { type: 'release', rank };
  if (state.phase === 'stopping') return closeIfDone({ ...state, ranks }, [release]);
  if (!isOpen(state)) return stay(state);
  const { state: next, commands } = stop({ ...state, ranks }, { kind: 'failed', error }, error.message);
  return { state: next, commands: [release, ...commands] };
}

function stopped(state: LaunchState, rank: number): LaunchStep {
  if (state.ranks[rank]!.status !== 'active') return stay(state);
  const ranks = changed(state.ranks, rank, { status: 'gone' });
  const release: LaunchCommand = { type: 'release', rank };
  if (state.phase === 'stopping') return closeIfDone({ ...state, ranks }, [release]);
  if (!isOpen(state)) return stay(state);
  // a rank that complained may end by itself; one that did not has no reason to
  if (state.phase === 'doubting' && state.complaints.some((complaint) => complaint.rank === rank)) {
    return { state: { ...state, ranks }, commands: [release] };
  }
  const { device } = state.ranks[rank]!;
  const error: Failure = {
    family: 'peer',
    code: 'rank_stopped',
    message: `rank ${rank} on ${device} stopped without being told to`,
    ids: { rank, device },
    device,
  };
  const { state: next, commands } = stop({ ...state, ranks }, { kind: 'failed', error }, error.message);
  return { state: next, commands: [release, ...commands] };
}

function timeUp(state: LaunchState, timer: LaunchTimer): LaunchStep {
  if (timer === 'assemble' && state.phase === 'assembling') {
    const late = state.ranks.map((rank, i) => ({ ...rank, i })).filter((rank) => rank.endpoint === undefined);
    const names = late.map((rank) => rank.device).join(', ');
    const error: Failure = {
      family: 'peer',
      code: 'launch_deadline',
      message: `${names}: not ready to train ${ASSEMBLE_SECONDS} s after the launch`,
      ids: { devices: late.map((rank) => rank.device) },
      device: late[0]?.device ?? null,
    };
    return stop(state, { kind: 'failed', error }, error.message);
  }
  if (timer === 'doubt' && state.phase === 'doubting') {
    const error = suspectOf(state.ranks, state.complaints);
    return stop(state, { kind: 'failed', error }, error.message);
  }
  if (timer === 'stop' && state.phase === 'stopping') {
    const silent = state.ranks.flatMap((rank, i) => (rank.status === 'active' ? [i] : []));
    return {
      state: { ...state, phase: 'over' },
      commands: silent.map((rank) => ({ type: 'release', rank })),
    };
  }
  return stay(state);
}

/** The verdict is known: tell it, and end whoever still runs. */
function stop(state: OpenState, verdict: Verdict, reason: string): LaunchStep {
  const active = state.ranks.flatMap((rank, i) => (rank.status === 'active' ? [i] : []));
  const settle: LaunchCommand = { type: 'settle', verdict };
  if (active.length === 0)
    return { state: { phase: 'over', ranks: state.ranks, verdict }, commands: [settle] };
  return {
    state: { phase: 'stopping', ranks: state.ranks, verdict },
    commands: [
      { type: 'stop', ranks: active, reason },
      settle,
      { type: 'arm', timer: 'stop', seconds: STOP_SECONDS },
    ],
  };
}

function closeIfDone(
  state: Extract<LaunchState, { phase: 'stopping' }>,
  commands: readonly LaunchCommand[],
): LaunchStep {
  const done = state.ranks.every((rank) => rank.status !== 'active');
  return { state: done ? { ...state, phase: 'over' } : state, commands };
}

function changed(ranks: readonly Rank[], index: number, change: Partial<Rank>): readonly Rank[] {
  return ranks.map((rank, i) => (i === index ? { ...rank, ...change } : rank));
}
