import { Gauge, Histogram, Registry } from 'prom-client';
import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks';
import { JOB_STATES, type DeviceRecord, type JobRecord, type JobState } from '../../protocol/index.js';

/** What a scrape reads. Nothing here may wait for Redis: a scrape during an outage must answer. */
export interface MetricSources {
  readonly live: () => readonly JobRecord[];
  readonly devices: () => readonly DeviceRecord[];
  readonly redisUp: () => boolean;
  /** Jobs by state, as last counted. */
  readonly counts: () => Readonly<Partial<Record<JobState, number>>>;
  /** Control tasks that wait. */
  readonly queued: () => number;
}

/** Prometheus metrics of one coordinator, in a registry of its own. */
export class CoordinatorMetrics {
  private readonly registry = new Registry();
  private readonly lag: IntervalHistogram;
  /** Seconds from a submission to its answer. */
  readonly submissions: Histogram;

  constructor(sources: MetricSources) {
    this.lag = monitorEventLoopDelay({ resolution: 20 });
    this.lag.enable();
    const registers = [this.registry];
    const gauge = (
      name: string,
      help: string,
      labelNames: readonly string[],
      collect: (gauge: Gauge) => void,
    ) =>
      new Gauge({
        name: `dtrain_${name}`,
        help,
        labelNames: [...labelNames],
        registers,
        collect() {
          this.reset();
          collect(this);
        },
      });
    const ofLive = (name: string, help: string, value: (job: JobRecord) => number | null) =>
      gauge(name, help, ['job', 'name'], (metric) => {
        for (const job of sources.live()) {
          const found = value(job);
          if (found !== null) metric.set({ job: job.id, name: job.name }, found);
        }
      });
    gauge('jobs', 'Jobs by state', ['state'], (metric) => {
      const counts = sources.counts();
      for (const state of JOB_STATES) metric.set({ state }, counts[state] ?? 0);
    });
    ofLive('job_step', 'Optimizer steps done', (job) => job.step);
    ofLive('job_total_steps', 'Optimizer steps to do', (job) => job.totalSteps);
    ofLive('job_loss', 'Loss of the last reported batch', (job) => job.loss);
    ofLive('job_samples_per_second', 'Samples trained in a second', (job) => job.samplesPerSecond);
    gauge('devices', 'Devices that have joined, by state', ['state'], (metric) => {
      for (const state of ['free', 'busy', 'lost']) metric.set({ state }, 0);
      for (const { state } of sources.devices()) metric.inc({ state });
    });
    gauge('device_heartbeat_age_seconds', 'Since a device’s worker was heard of', ['device'], (metric) => {
      for (const { id, heartbeatAgeSeconds } of sources.devices())
        metric.set({ device: id }, heartbeatAgeSeconds);
    });
    gauge('redis_up', 'Whether Redis answers', [], (metric) => metric.set(sources.redisUp() ? 1 : 0));
    gauge('control_queue_length', 'Control tasks that wait', [], (metric) => metric.set(sources.queued()));
    gauge('event_loop_lag_seconds', 'Event-loop delay since the last scrape', ['quantile'], (metric) => {
      for (const quantile of [50, 99, 100])
        metric.set({ quantile: String(quantile / 100) }, this.lag.percentile(quantile) / 1e9);
      this.lag.reset();
    });
    this.submissions = new Histogram({
      name: 'dtrain_submission_seconds',
      help: 'From a submission to its answer',
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  close(): void {
    this.lag.disable();
    this.registry.clear();
  }
}
