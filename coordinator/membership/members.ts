import { create } from '@bufbuild/protobuf';
import { type Clock, type Logger } from '../../base/index.js';
import {
  RefusalSchema,
  ToWorkerSchema,
  WelcomeSchema,
  type DeviceRecord,
  type FromWorker,
  type Hello,
  type LinkRecord,
  type RankBeat,
  type ToWorker,
} from '../../protocol/index.js';
import type { Link, Topology } from '../../scheduler/index.js';
import type { Failure } from '../launch/rank.js';
import { deviceFrom, described, refusalOf, type JoinedDevice } from './hello.js';
import { HEARTBEAT_SECONDS, LEASE_SECONDS, Leases, SWEEP_SECONDS } from './lease.js';
import { Links } from './links.js';
import { LinkProber, type ProbedHost } from './prober.js';
import type { Channel, Member, MemberEvents, RankMessage, Seat, Tenant } from './seat.js';

/**
 * The daemons that have joined and their devices, with who runs on each.
 *
 * Guarantees: a device belongs to one session and has one tenant; a daemon speaks only for ranks on its own
 * devices and of the launch that runs there now, whatever else it says is dropped; a session whose lease runs
 * out is ended.
 */
export class Members {
  private readonly members = new Set<Member>();
  private readonly seats = new Map<string, Seat>();
  private readonly leases: Leases<Member>;
  private readonly links = new Links();
  private readonly prober: LinkProber;
  private cancelSweep: () => void = () => undefined;
  private counter = 0;
  private closed = false;

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly events: MemberEvents,
  ) {
    this.leases = new Leases(clock.monotonic());
    this.prober = new LinkProber(clock, logger, this.links, {
      host: (name) => this.hostNamed(name),
      send: (device, message) => this.send(device, message),
    });
    this.scheduleSweep();
  }

  /** Devices that are there, in the order they joined. */
  devices(): readonly JoinedDevice[] {
    return [...this.seats.values()].filter((seat) => !seat.lost).map((seat) => seat.device);
  }

  free(): readonly JoinedDevice[] {
    return [...this.seats.values()].filter((seat) => !seat.lost && !seat.tenant).map((seat) => seat.device);
  }

  /** Devices that are gone for now: their daemons are there, and start their executors anew. */
  returning(): readonly string[] {
    return [...this.seats.values()].filter((seat) => seat.lost).map((seat) => seat.device.id);
  }

  get count(): number {
    return this.members.size;
  }

  records(): DeviceRecord[] {
    const now = this.clock.monotonic();
    return [...this.seats.values()].map(({ device, member, lost, tenant, beat }) => ({
      ...described(device),
      state: lost ? 'lost' : tenant ? 'busy' : 'free',
      job: tenant?.jobId ?? null,
      rank: tenant?.rank ?? null,
      phase: beat?.phase ?? null,
      step: beat?.step ?? null,
      heartbeatAgeSeconds: this.leases.age(member, now),
    }));
  }

  /** How the hosts that are there reach each other, as far as that was measured. */
  topology(): Topology {
    return this.links.topology();
  }

  /** A run has found a link slower than it was measured. */
  correctLink(between: readonly [string, string], link: Link): void {
    this.links.correct(between, link, this.clock.monotonic(), this.clock.epochMs());
  }

  linkRecords(): LinkRecord[] {
    return this.links
      .measured()
      .map(({ between, bandwidthBytesPerSecond: bandwidth, latencySeconds: latency, measuredAtMs }) => ({
        between: [...between],
        bandwidth,
        latency,
        measuredAt: new Date(measuredAtMs).toISOString(),
      }));
  }

  /** Gives free devices to the ranks of a launch. */
  occupy(device: string, tenant: Tenant): void {
    const seat = this.seats.get(device);
    if (seat) seat.tenant = tenant;
  }

  /** The launch holds the device no more. */
  release(device: string, tenant: Pick<Tenant, 'jobId' | 'epoch'>): void {
    const seat = this.seats.get(device);
    if (!seat?.tenant || seat.tenant.jobId !== tenant.jobId || seat.tenant.epoch !== tenant.epoch) return;
    seat.tenant = undefined;
    seat.beat = undefined;
    this.events.changed();
  }

  /** Sends to the daemon of a device. @returns whether there is one */
  send(device: string, message: ToWorker['message']): boolean {
    const seat = this.seats.get(device);
    if (!seat) return false;
    seat.member.channel.send(create(ToWorkerSchema, { message }));
    return true;
  }

  /**
   * A daemon's first message.
   * @returns what to call with each later message and at the end of the stream; undefined when it was refused
   */
  join(
    hello: Hello,
    channel: Channel,
  ): { receive(message: FromWorker['message']): void; left(reason: string): void } | undefined {
    if (this.closed) {
      channel.end();
      return undefined;
    }
    const refusal = refusalOf(hello, new Set([...this.members].map((member) => member.name)));
    if (refusal) {
      this.logger.warn({ worker: hello.name, code: refusal.code }, refusal.message);
      channel.send(
        create(ToWorkerSchema, { message: { case: 'refusal', value: create(RefusalSchema, refusal) } }),
      );
      channel.end();
      return undefined;
    }
    const member: Member = { workerId: `worker_${++this.counter}`, name: hello.name, channel };
    this.members.add(member);
    this.leases.renew(member, this.clock.monotonic());
    for (const wire of hello.devices) {
      const device = deviceFrom(hello.name, wire)!; // refusalOf has checked each
      this.seats.set(device.id, { device, member, lost: false, tenant: undefined, beat: undefined });
    }
    this.links.add(hello.name, hello.devices.length > 1);
    const welcome = create(WelcomeSchema, {
      workerId: member.workerId,
      leaseSeconds: LEASE_SECONDS,
      heartbeatSeconds: HEARTBEAT_SECONDS,
    });
    channel.send(create(ToWorkerSchema, { message: { case: 'welcome', value: welcome } }));
    this.logger.info(
      { worker: hello.name, pid: hello.pid, devices: hello.devices.map((device) => device.id) },
      'joined',
    );
    this.events.changed();
    return {
      receive: (message) => this.receive(member, message),
      left: (reason) => this.leave(member, 'worker_left', reason),
    };
  }

  /** Ends all sessions. */
  close(): void {
    this.closed = true;
    this.cancelSweep();
    this.prober.close();
    for (const member of this.members) member.channel.end();
    this.members.clear();
    this.seats.clear();
  }

  private receive(member: Member, message: FromWorker['message']): void {
    if (!this.members.has(member)) return;
    this.leases.renew(member, this.clock.monotonic());
    switch (message.case) {
      case 'heartbeat':
        for (const beat of message.value.ranks) this.beat(member, beat);
        return;
      case 'deviceLost': {
        const seat = this.seatOf(member, message.value.device);
        const { device, code, message: text } = message.value;
        if (seat) this.lose(seat, { family: 'peer', code, message: text, ids: { device }, device });
        return;
      }
      case 'deviceBack': {
        const seat = this.seatOf(member, message.value.id);
        const device = deviceFrom(member.name, message.value);
        if (!seat || !device) return;
        if (seat.tenant) {
          const text = `${device.id}: its executor was started anew`;
          this.lose(seat, {
            family: 'peer',
            code: 'executor_died',
            message: text,
            ids: { device: device.id },
            device: device.id,
          });
        }
        this.seats.set(device.id, { device, member, lost: false, tenant: undefined, beat: undefined });
        this.events.changed();
        return;
      }
      case 'ready':
      case 'step':
      case 'finished':
      case 'failed':
      case 'stopped':
      case 'checkpoint':
      case 'log':
        this.route(member, message);
        return;
      case 'probeListening':
      case 'linkMeasured':
      case 'probeFailed':
        this.prober.receive(member.name, message);
        return;
      case 'profiled':
      case 'profileFailed':
        this.events.profiled?.(member.name, message);
        return;
      case 'hello':
      case undefined:
        return;
    }
  }

  private hostNamed(name: string): ProbedHost | undefined {
    const seats = [...this.seats.values()].filter(({ member, lost }) => member.name === name && !lost);
    if (seats.length === 0) return undefined;
    return { devices: seats.map(({ device }) => device.id), idle: seats.every(({ tenant }) => !tenant) };
  }

  private route(member: Member, message: RankMessage): void {
    for (const { member: host, tenant, device } of this.seats.values()) {
      if (host !== member || tenant?.jobId !== message.value.jobId) continue;
      if ('epoch' in message.value && message.value.epoch !== tenant.epoch) continue;
      if (message.value.rank !== tenant.rank) continue;
      this.events.rank(tenant, device.id, message);
      return;
    }
    this.logger.debug(
      { worker: member.name, message: message.case, job: message.value.jobId },
      'of no rank here: dropped',
    );
  }

  private beat(member: Member, beat: RankBeat): void {
    for (const seat of this.seats.values()) {
      const { tenant } = seat;
      if (seat.member !== member || tenant?.jobId !== beat.jobId || tenant.epoch !== beat.epoch) continue;
      if (tenant.rank !== beat.rank) continue;
      seat.beat = beat;
      this.events.beat(tenant, beat.step);
    }
  }

  private seatOf(member: Member, device: string): Seat | undefined {
    const seat = this.seats.get(device);
    return seat?.member === member ? seat : undefined;
  }

  private lose(seat: Seat, failure: Failure): void {
    const { tenant } = seat;
    seat.lost = true;
    seat.tenant = undefined;
    seat.beat = undefined;
    this.logger[tenant ? 'warn' : 'info'](
      { device: seat.device.id, code: failure.code, job: tenant?.jobId },
      failure.message,
    );
    if (tenant) this.events.lost(tenant, failure);
    this.events.changed();
  }

  private leave(member: Member, code: string, reason: string): void {
    if (!this.members.delete(member)) return;
    this.leases.end(member);
    this.links.remove(member.name);
    const seats = [...this.seats.values()].filter((seat) => seat.member === member);
    for (const { device } of seats) this.seats.delete(device.id);
    for (const seat of seats) {
      const device = seat.device.id;
      this.lose(seat, {
        family: 'peer',
        code,
        message: `${device}: ${reason}`,
        ids: { device, worker: member.name },
        device,
      });
    }
  }

  private scheduleSweep(): void {
    this.cancelSweep = this.clock.after(SWEEP_SECONDS, () => {
      for (const member of this.leases.sweep(this.clock.monotonic())) {
        this.leave(
          member,
          'lease_expired',
          `its worker "${member.name}" was silent for ${LEASE_SECONDS} s: the process is stopped, or its host or network is down`,
        );
        member.channel.end();
      }
      this.scheduleSweep();
    });
  }
}
