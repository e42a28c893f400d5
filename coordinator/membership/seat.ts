import type { FromWorker, RankBeat, ToWorker } from '../../protocol/index.js';
import type { Failure } from '../launch/rank.js';
import type { JoinedDevice } from './hello.js';

/** The way to one daemon: the server's end of its `Join` stream. */
export interface Channel {
  send(message: ToWorker): void;
  /** Ends the stream; nothing is sent afterwards. */
  end(): void;
}

/** Who runs on a device. */
export interface Tenant {
  readonly jobId: string;
  readonly epoch: number;
  readonly rank: number;
}

/** A daemon that has joined. */
export interface Member {
  readonly workerId: string;
  readonly name: string;
  readonly channel: Channel;
}

/** A device of a daemon, and who has it. */
export interface Seat {
  device: JoinedDevice;
  readonly member: Member;
  lost: boolean;
  tenant: Tenant | undefined;
  beat: RankBeat | undefined;
}

/** A message about a rank, from the daemon that hosts it. */
export type RankMessage = Extract<
  FromWorker['message'],
  { case: 'ready' | 'step' | 'finished' | 'failed' | 'stopped' | 'checkpoint' | 'log' }
>;

/** What a profile run on a device came to. */
export type ProfileMessage = Extract<FromWorker['message'], { case: 'profiled' | 'profileFailed' }>;

export interface MemberEvents {
  /** The tenant's own daemon says something about it. */
  rank(tenant: Tenant, device: string, message: RankMessage): void;
  /** How many steps the tenant has done. */
  beat(tenant: Tenant, step: number): void;
  /** A device with a tenant is gone: its executor died, its daemon's session ended. */
  lost(tenant: Tenant, failure: Failure): void;
  /** A daemon answers a profile run, if that is still waited for. */
  profiled?(host: string, message: ProfileMessage): void;
  /** Devices came, went or became free. */
  changed(): void;
}
