import { create } from '@bufbuild/protobuf';
import { randomId, reportOf, type Clock, type Logger, type Seconds } from '../../base/index.js';
import {
  decodeModelProfile,
  encodeProfileTask,
  ProfileSchema,
  type JobSpec,
  type ModelProfile,
  type ToWorker,
} from '../../protocol/index.js';
import { calibrate, lowerBound, type Device } from '../../scheduler/index.js';
import type { ModelFacts, TrainingJob } from '../job/index.js';
import type { JoinedDevice, ProfileMessage } from '../membership/index.js';
import { learned } from './learn.js';
import { graphKey, profilePlan, timingOf } from './task.js';
import { alike, ALIKE_TOLERANCE, type Timings } from './timings.js';

/** A job that may be over in less is not worth a profile run. */
const SHORTEST_JOB_SECONDS: Seconds = 20;
/** A job waits for its profile runs no longer. */
const PATIENCE_SECONDS: Seconds = 20;
/** Devices that are profiled for one job; what differs from all of them is planned by its rates. */
const MOST_DEVICES = 32;

/** What profiling needs of the members. */
export interface ProfilerPort {
  devices(): readonly JoinedDevice[];
  /** Sends to the daemon of a device. @returns whether there is one */
  send(device: string, message: Extract<ToWorker['message'], { case: 'profile' }>): boolean;
}

interface Waiting {
  readonly host: string;
  readonly device: string;
  /** With why not, where there is no profile. */
  readonly answer: (profile: ModelProfile | string) => void;
}

/**
 * Learns what models take on devices: from a short run of the model's parts before a job is planned, and from the job
 * itself when it is over. What was learnt of a graph on a device, or on one like it, is remembered.
 */
export class Profiler {
  private readonly waiting = new Map<string, Waiting>();

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly timings: Timings,
    private readonly port: ProfilerPort,
  ) {}

  /** Devices with what is known of the job's model on each. Levelled ones keep their rates. */
  calibrated(job: JobSpec, model: ModelFacts, devices: readonly Device[]): readonly Device[] {
    const graph = graphKey(job, model);
    if (graph === undefined) return devices;
    const joined = new Map(this.port.devices().map((device) => [device.id, device]));
    const { units } = model.layers;
    // devices that are equal to the planner stay equal
    const known = new Map<string, Device['calibration']>();
    return devices.map((device) => {
      const as = joined.get(device.id);
      const timing = as && this.timings.find(graph, as);
      if (!timing || timing.ranges.some(({ from, to }) => from >= to || to > units.length)) return device;
      const key = JSON.stringify([timing, { ...device, id: '', host: '', memoryBytes: 0 }]);
      const calibration = known.get(key) ?? calibrate(model.layers, device, timing);
      known.set(key, calibration);
      return { ...device, calibration };
    });
  }

  /**
   * Has the model timed where it is not known yet: on one device of each kind, hosts at once and the devices of a host
   * one after the other. Resolves when that is done, or after 20 s: what comes later is kept for the next job.
   * Nothing is timed for a job that wishes none, or that may be over sooner and does not ask for it. Never rejects.
   * @param free devices that run nothing, and go on doing so
   */
  async profile(job: JobSpec, model: ModelFacts, free: readonly Device[], totalSteps: number): Promise<void> {
    const graph = graphKey(job, model);
    if (graph === undefined || job.profile === false || free.length === 0) return;
    const short = lowerBound(model.layers, free, job.batch) * totalSteps < SHORTEST_JOB_SECONDS;
    if (short && job.profile !== true) return;
    const ids = new Set(free.map(({ id }) => id));
    const unlike: JoinedDevice[] = [];
    for (const device of this.port.devices()) {
      if (!ids.has(device.id) || this.timings.find(graph, device)) continue;
      if (!unlike.some((other) => alike(other, device, ALIKE_TOLERANCE))) unlike.push(device);
    }
    const chosen = unlike.slice(0, MOST_DEVICES);
    const hosts = new Set(chosen.map(({ host }) => host));
    let late = false;
    const all = [...hosts].map(async (host) => {
      for (const device of chosen.filter((each) => each.host === host)) {
        if (!late) await this.time(graph, job, model, device);
      }
    });
    let cancel: () => void = () => undefined;
    const patience = new Promise<void>((resolve) => {
      cancel = this.clock.after(PATIENCE_SECONDS, () => {
        late = true;
        this.logger.warn({ job: job.name }, `not all devices timed its model within ${PATIENCE_SECONDS} s`);
        resolve();
      });
    });
    await Promise.race([Promise.all(all), patience]);
    cancel();
  }

  /** What a job that is over tells of its devices. */
  learn(job: TrainingJob): void {
    const graph = graphKey(job.job, job.model);
    if (graph === undefined || job.state !== 'succeeded') return;
    const joined = new Map(this.port.devices().map((device) => [device.id, device]));
    for (const { device: id, update } of learned(job.plan, job.measured)) {
      const device = joined.get(id);
      const timing = device && update(this.timings.find(graph, device));
      if (timing) this.timings.put(graph, device, timing);
    }
  }

  /** Something that the daemon of `host` says of a profile run; dropped unless that was asked for there. */
  receive(host: string, message: ProfileMessage): void {
    const waiting = this.waiting.get(message.value.profile);
    if (waiting?.host !== host) return;
    this.waiting.delete(message.value.profile);
    if (message.case === 'profileFailed') {
      waiting.answer(message.value.message);
      return;
    }
    try {
      waiting.answer(decodeModelProfile(message.value.result));
    } catch (error) {
      waiting.answer(reportOf(error).message);
    }
  }

  /** Devices came or went: nobody waits for those that are gone. */
  changed(): void {
    const there = new Set(this.port.devices().map(({ id }) => id));
    for (const { device, answer } of [...this.waiting.values()]) {
      if (!there.has(device)) answer('it is gone');
    }
  }

  /** One device; never rejects. */
  private async time(graph: string, job: JobSpec, model: ModelFacts, device: JoinedDevice): Promise<void> {
    const plan = profilePlan(job, model, device);
    if (!plan) return;
    const id = randomId('profile');
    const profile = await new Promise<ModelProfile | string>((answer) => {
      this.waiting.set(id, { host: device.host, device: device.id, answer });
      const task = encodeProfileTask(plan.task);
      const value = create(ProfileSchema, { profile: id, device: device.id, task });
      if (!this.port.send(device.id, { case: 'profile', value })) answer('it is gone');
    });
    this.waiting.delete(id);
    if (typeof profile === 'string') {
      this.logger.warn({ device: device.id, job: job.name }, `its model was not timed there: ${profile}`);
      return;
    }
    const timing = timingOf(plan, profile);
    if (timing.ranges.length > 0 || timing.whole) this.timings.put(graph, device, timing);
  }
}
