import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../../base/index.js';
import { linear, model, tensor } from '../../../graph/nn/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { parseDeviceSpec, startWorkerDaemon, type WorkerDaemon } from '../../../worker/index.js';
import { descendants, type ProcessInfo } from '../../e2e/process.js';
import { Artifacts, planOf } from './plans.js';
import { ScriptedCoordinator } from './scripted-coordinator.js';

/** A scripted coordinator with a job's artifacts, and daemons that join it. */
export class DaemonFixture {
  readonly artifacts = new Artifacts();
  private readonly cache = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
  private readonly daemons: WorkerDaemon[] = [];
  private readonly model = this.artifacts.model(model({ input: tensor(6), layers: linear(4) }).graph);
  private readonly data = this.artifacts.table(60, 6, 4);

  private constructor(public coordinator: ScriptedCoordinator) {
    this.offer();
  }

  static async start(): Promise<DaemonFixture> {
    return new DaemonFixture(await ScriptedCoordinator.start());
  }

  /** A coordinator at the same address, after the last one was closed. */
  async restartCoordinator(): Promise<void> {
    this.coordinator = await ScriptedCoordinator.start(this.coordinator.address);
    this.offer();
  }

  /** Starts a daemon `host` with one small device. */
  async daemon(
    change: { signal?: AbortSignal; address?: string; devices?: string[] } = {},
  ): Promise<WorkerDaemon> {
    const {
      signal,
      address = this.coordinator.address,
      devices = ['cpu:0,memory=512MiB,threads=1'],
    } = change;
    const daemon = await startWorkerDaemon({
      coordinator: address,
      name: 'host',
      devices: devices.map(parseDeviceSpec),
      cacheDir: this.cache,
      listenHost: '127.0.0.1',
      logger: createLogger('test', process.env['DTRAIN_LOG'] ?? 'silent'),
      ...(signal ? { signal } : {}),
    });
    this.daemons.push(daemon);
    return daemon;
  }

  /** A run of one rank; endless unless told otherwise. */
  plan(jobId: string, totalSteps = 1_000_000, change: Partial<RunPlan> = {}): RunPlan {
    const plan = planOf(this.model, this.data, [6], { jobId, totalSteps, logEverySteps: 1, ...change });
    return { ...plan, ranks: plan.ranks.map((rank) => ({ ...rank, device: 'host/cpu:0', host: 'host' })) };
  }

  /** The executors of this process's daemons. */
  executors(): readonly ProcessInfo[] {
    return descendants(process.pid).filter(
      ({ command, state }) => command.includes('executor') && state !== 'Z',
    );
  }

  /** Folders that daemons of this process have for temporary files. */
  scratches(): readonly string[] {
    return readdirSync(tmpdir()).filter((name) => name.startsWith(`dtrain-worker-${process.pid}-`));
  }

  async close(): Promise<void> {
    await Promise.all(this.daemons.map((daemon) => daemon.close()));
    this.coordinator.close();
    this.artifacts.remove();
    rmSync(this.cache, { recursive: true, force: true });
  }

  /** Has the coordinator deliver what is among the artifacts now. */
  offer(): void {
    for (const [hash, path] of this.artifacts.paths) this.coordinator.artifacts.set(hash, readFileSync(path));
  }
}
