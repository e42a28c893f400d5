import { create } from '@bufbuild/protobuf';
import type { ErrorReport } from '../../base/index.js';
import {
  CheckpointWrittenSchema,
  DeviceLostSchema,
  HeartbeatSchema,
  LinkFlowSchema,
  LinkMeasuredSchema,
  LogLineSchema,
  ProbeFailedSchema,
  ProbeListeningSchema,
  ProfiledSchema,
  ProfileFailedSchema,
  RankBeatSchema,
  RankFailedSchema,
  RankFinishedSchema,
  RankReadySchema,
  RankStoppedSchema,
  StepReportSchema,
  type Device,
  type FromWorker,
} from '../../protocol/index.js';
import type { Link } from '../../scheduler/index.js';
import type { RunId, RunSummary, StepNumbers } from '../messages.js';

type Message = FromWorker['message'];

/** What executors say, in the control plane's words. */
export const toFromWorker = {
  heartbeat: (ranks: readonly (RunId & { step: number; phase: string })[]): Message => ({
    case: 'heartbeat',
    value: create(HeartbeatSchema, { ranks: ranks.map((rank) => create(RankBeatSchema, rank)) }),
  }),
  ready: (run: RunId, endpoint: string): Message => ({
    case: 'ready',
    value: create(RankReadySchema, { ...run, endpoint }),
  }),
  step: (run: RunId, numbers: StepNumbers): Message => ({
    case: 'step',
    value: create(StepReportSchema, { ...run, ...numbers }),
  }),
  log: ({ jobId, rank }: RunId, level: string, message: string): Message => ({
    case: 'log',
    value: create(LogLineSchema, { jobId, rank, level, message }),
  }),
  checkpoint: (run: RunId, step: number, weightsSha256: string): Message => ({
    case: 'checkpoint',
    value: create(CheckpointWrittenSchema, { ...run, step, weightsSha256 }),
  }),
  finished: (run: RunId, summary: RunSummary, weightsSha256: string, traceSha256: string): Message => ({
    case: 'finished',
    value: create(RankFinishedSchema, {
      ...run,
      ...summary,
      links: summary.links.map((flow) => create(LinkFlowSchema, flow)),
      weightsSha256,
      traceSha256,
    }),
  }),
  failed: (run: RunId, device: string, error: ErrorReport): Message => ({
    case: 'failed',
    value: create(RankFailedSchema, {
      ...run,
      device,
      family: error.family,
      code: error.code,
      message: error.message,
      idsJson: JSON.stringify(error.ids),
    }),
  }),
  stopped: (run: RunId): Message => ({ case: 'stopped', value: create(RankStoppedSchema, { ...run }) }),
  deviceLost: (device: string, { code, message }: ErrorReport): Message => ({
    case: 'deviceLost',
    value: create(DeviceLostSchema, { device, code, message }),
  }),
  probeListening: (probe: string, endpoint: string): Message => ({
    case: 'probeListening',
    value: create(ProbeListeningSchema, { probe, endpoint }),
  }),
  linkMeasured: (probe: string, link: Link): Message => ({
    case: 'linkMeasured',
    value: create(LinkMeasuredSchema, { probe, ...link }),
  }),
  probeFailed: (probe: string, message: string): Message => ({
    case: 'probeFailed',
    value: create(ProbeFailedSchema, { probe, message }),
  }),
  profiled: (profile: string, result: Uint8Array): Message => ({
    case: 'profiled',
    value: create(ProfiledSchema, { profile, result }),
  }),
  profileFailed: (profile: string, message: string): Message => ({
    case: 'profileFailed',
    value: create(ProfileFailedSchema, { profile, message }),
  }),
  deviceBack: (device: Device): Message => ({ case: 'deviceBack', value: device }),
};

/** The control plane's words, for executors. */
export const toExecutor = {
  runOf: ({ jobId, epoch, rank }: { jobId: string; epoch: number; rank: number }): RunId => ({
    jobId,
    epoch,
    rank,
  }),
};
