import { create } from '@bufbuild/protobuf';
import { randomId, type Clock, type Logger, type Seconds } from '../../base/index.js';
import {
  ListenForProbeSchema,
  MeasureLinkSchema,
  type FromWorker,
  type ToWorker,
} from '../../protocol/index.js';
import type { Link } from '../../scheduler/index.js';
import type { Links } from './links.js';

/** A probe is given up after so long: its ends do so before (see the worker's link probe). */
const PATIENCE_SECONDS: Seconds = 10;
/** Between probes, and how often it is looked whether one is due. */
const PAUSE_SECONDS: Seconds = 0.5;

/** A host as the prober sees it. */
export interface ProbedHost {
  /** Devices that are there. */
  readonly devices: readonly string[];
  /** None of its devices runs a job. */
  readonly idle: boolean;
}

/** What the prober needs of the members. */
export interface ProberPort {
  host(name: string): ProbedHost | undefined;
  send(device: string, message: ProbeRequest): boolean;
}

type ProbeRequest = Extract<ToWorker['message'], { case: 'listenForProbe' | 'measureLink' }>;
export type ProbeMessage = Extract<
  FromWorker['message'],
  { case: 'probeListening' | 'linkMeasured' | 'probeFailed' }
>;

interface Probe {
  readonly id: string;
  readonly between: readonly [string, string];
  /** The device that measures, and the one that listens. */
  readonly from: string;
  readonly to: string;
  readonly forget: () => void;
}

/**
 * Has the links between idle hosts measured, one at a time in the whole cluster, so that no two probes share a wire. A
 * probe that fails is logged and changes nothing.
 */
export class LinkProber {
  private active: Probe | undefined;
  private cancelLook: () => void = () => undefined;

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly links: Links,
    private readonly port: ProberPort,
  ) {
    this.look();
  }

  /** Something that the daemon of `host` says of a probe; dropped unless that probe runs there now. */
  receive(host: string, message: ProbeMessage): void {
    const { active } = this;
    if (active?.id !== message.value.probe || !active.between.includes(host)) return;
    switch (message.case) {
      case 'probeListening': {
        const { id: probe, from: device } = active;
        const { endpoint } = message.value;
        const value = create(MeasureLinkSchema, { probe, device, endpoint });
        if (!this.port.send(device, { case: 'measureLink', value })) this.fail(`${device} is gone`);
        return;
      }
      case 'linkMeasured': {
        const { bandwidthBytesPerSecond, latencySeconds } = message.value;
        const link = { bandwidthBytesPerSecond, latencySeconds };
        const odd = Object.values(link).find((value) => !(value > 0 && Number.isFinite(value)));
        if (odd !== undefined) {
          this.fail(`it reported ${JSON.stringify(link)}`);
          return;
        }
        this.logger.debug({ between: active.between, ...link }, 'a link was measured');
        this.finish(link);
        return;
      }
      case 'probeFailed':
        this.fail(message.value.message);
        return;
    }
  }

  close(): void {
    this.cancelLook();
    this.active?.forget();
    this.active = undefined;
  }

  private look(): void {
    this.cancelLook = this.clock.after(PAUSE_SECONDS, () => {
      if (!this.active) this.begin();
      this.look();
    });
  }

  private begin(): void {
    const between = this.links.due((name) => this.port.host(name)?.idle ?? false, this.clock.monotonic());
    if (!between) return;
    const [a, b] = between;
    const from = this.port.host(a)?.devices[0];
    const to = this.port.host(b)?.devices[a === b ? 1 : 0];
    if (from === undefined || to === undefined) {
      this.links.note(between, undefined, this.clock.monotonic(), this.clock.epochMs()); // a device is lost just now
      return;
    }
    const id = randomId('probe');
    const forget = this.clock.after(PATIENCE_SECONDS, () =>
      this.fail(`no answer within ${PATIENCE_SECONDS} s`),
    );
    this.active = { id, between, from, to, forget };
    const value = create(ListenForProbeSchema, { probe: id, device: to });
    if (!this.port.send(to, { case: 'listenForProbe', value })) this.fail(`${to} is gone`);
  }

  private fail(why: string): void {
    const { between, from, to } = this.active!;
    const what = `the link between ${from} and ${to} was not measured: ${why}`;
    this.logger.warn({ between }, what);
    this.finish(undefined);
  }

  private finish(link: Link | undefined): void {
    const { between, forget } = this.active!;
    forget();
    this.active = undefined;
    this.links.note(between, link, this.clock.monotonic(), this.clock.epochMs());
  }
}
