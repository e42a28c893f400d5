import {
  Arena,
  DEFAULT_RING,
  edgeLimits,
  failTogether,
  ZeroMqTransport,
  type Failing,
  type RingOptions,
} from '../../collectives/index.js';
import { InvariantError, withDeadline, type Bytes, type DtrainError, type Sha256 } from '../../base/index.js';
import { loadWeights, type Loaded } from '../../graph/index.js';
import { decodeRunPlan, type RunPlan } from '../../protocol/index.js';
import type { ResolvedDevice } from '../device/index.js';
import type { ComputeThread } from '../engine/index.js';
import { StoppedError } from '../errors.js';
import { collectGarbage, largestFirst, MemoryLedger, type HeldItem } from '../memory/index.js';
import { StageModel, StageRank } from '../pipeline/index.js';
import { describeOnly, hashIn, openDatasets, runArtifacts, type Datasets } from './datasets.js';
import type { Evaluation } from './evaluator.js';
import { flowsOf } from './flows.js';
import type { Phase, RankMessage, RunId, RunSummary } from '../messages.js';
import { fallbackNote, memoryNote, normalizationNote, updateNote } from './notes.js';
import { PeakMemory } from './peak-memory.js';
import { RankFiles } from './rank-files.js';
import { RankModel } from './rank-model.js';
import type { CompiledRank, RankPart } from './rank-part.js';
import { Replica } from './replica.js';
import { StepClock } from './step-clock.js';
import { stepReport } from './step-report.js';
import { TraceRecorder } from '../trace/index.js';

/** How long the ring may take to form once every rank has said where it listens. */
const JOIN_SECONDS = 30;
/**
 * How long a rank waits to be told of its peers: others may still be fetching data. The coordinator gives up
 * before (ASSEMBLE_SECONDS), and knows who is late.
 */
const PEERS_SECONDS = 960;

/** What a rank needs of the process it runs in. */
export interface RankHost {
  readonly device: ResolvedDevice;
  readonly thread: ComputeThread;
  /** Where ranks listen for each other. */
  readonly listenHost: string;
  /** A folder for this process's own files. */
  readonly scratch: string;
  fetch(sha256: Sha256): Promise<string>;
  report(message: RankMessage): void;
  /** The run has entered another phase. */
  beat(): void;
}

export interface RankResult {
  readonly summary: RunSummary;
  readonly weightsPath: string | null;
  /** What this rank did in the last steps, as a JSON file. */
  readonly tracePath: string | null;
}

/** One rank of one run, from the artifacts to the trained weights. */
export class RankRun {
  /** Optimizer steps done. */
  step = 0;
  phase: Phase = 'fetching';
  /** What the plan counted for this rank; 0 until there is a plan. */
  predictedBytes: Bytes = 0;
  private readonly peers: Promise<readonly string[]>;
  private tellPeers!: (endpoints: readonly string[]) => void;
  /** Rejects when the run is told to stop. */
  private readonly halted: Promise<never>;
  private halt!: (reason: DtrainError) => void;
  private stopped: DtrainError | undefined;
  private datasets: Datasets | undefined;
  private compiled: CompiledRank | undefined;
  private readonly trace: TraceRecorder;
  private readonly files: RankFiles;
  private readonly ledger = new MemoryLedger();
  private arena: Arena | undefined;
  private transport: ZeroMqTransport | undefined;
  /** Rings and streams, in the order in which they were opened. */
  private readonly open: (Failing & { close(): Promise<void> })[] = [];

  constructor(
    private readonly id: RunId,
    private readonly host: RankHost,
  ) {
    this.trace = new TraceRecorder(id.rank);
    this.files = new RankFiles(host.scratch, id);
    this.peers = new Promise((resolve) => (this.tellPeers = resolve));
    this.halted = new Promise((_, reject) => (this.halt = reject));
    this.halted.catch(() => undefined); // most of the time nobody waits
  }

  /** Where the other ranks listen, by rank. */
  connect(endpoints: readonly string[]): void {
    this.tellPeers(endpoints);
  }

  /**
   * Ends the run: `train` rejects with StoppedError. Waits for other processes end at once, a computation that is
   * under way runs to its end.
   */
  stop(reason: string): void {
    this.fail(new StoppedError(reason));
  }

  /** Ends the run likewise, as one that failed: `train` rejects with `error`. */
  fail(error: DtrainError): void {
    this.stopped ??= error;
    this.halt(this.stopped);
    for (const part of this.open) part.abort(error.message);
  }

  /** What the run has allocated so far, largest first. */
  get held(): readonly HeldItem[] {
    const arena = (this.arena?.allocations ?? []).map(({ name, byteLength }) => ({
      what: name,
      bytes: byteLength,
    }));
    return largestFirst([...this.ledger.items(), ...arena]);
  }

  /** Trains to the end. @throws whatever makes that impossible; call `leave` in any case */
  async train(encoded: Uint8Array): Promise<RankResult> {
    try {
      return await this.follow(planIn(encoded));
    } catch (error) {
      // what was in flight when we were stopped fails in its own words: the order to stop is the reason
      throw this.stopped ?? error;
    }
  }

  /** Gives back what the run held. Never throws. */
  async leave(): Promise<void> {
    this.host.thread.fallback = 'report';
    const parts = [
      () => Promise.all(this.open.map((part) => part.close())),
      () => this.transport?.close(),
      () => this.compiled?.dispose(), // a dead compute thread has nothing left to dispose
      () => this.datasets?.train.close(),
      () => this.datasets?.validation?.close(),
    ];
    for (const part of parts) {
      try {
        await part();
      } catch {
        continue; // the run's own error says more than what its end meets
      }
    }
    // whoever still knows the run does not hold what it had: nor does a promise that others were raced against
    this.halt(this.stopped ?? new StoppedError('the run is over'));
    this.open.length = 0;
    this.arena = this.compiled = this.datasets = this.transport = undefined;
  }

  private async follow(plan: RunPlan): Promise<RankResult> {
    const peak = new PeakMemory();
    const { thread, device } = this.host;
    if (device.ownMemory) await thread.takeMostBytes(); // what earlier runs took
    thread.takeFallbacks();
    thread.fallback = plan.fallback;
    this.predictedBytes = plan.ranks[this.id.rank]!.accountedBytes;
    const paths = await this.unlessStopped(this.fetchAll(plan));
    this.enter('compiling');
    const ring = { ...DEFAULT_RING, wire: plan.wire, deadline: plan.collectiveDeadlineSeconds };
    // before the others are met: deadlines then count training alone
    const compiled = await this.compile(plan, paths, ring);
    this.compiled = compiled;
    if (compiled.note !== undefined) this.host.report(updateNote(this.id, plan, compiled.note));
    await collectGarbage(); // what the model was read from, before as much is asked for again
    const arena = new Arena(compiled.arenaBytes, this.host.device.id);
    this.arena = arena;
    this.enter('connecting');
    const part = await this.join(plan, compiled, arena, ring);
    await collectGarbage();
    const clock = await this.loop(plan, part);
    this.enter('saving');
    const weightsPath = await this.save(part, 'weights');
    await part.barrier();
    // of a budget of the device's own memory, what the engine counted there; of the host's, what the process took
    const peakBytes = (device.ownMemory ? await thread.takeMostBytes() : undefined) ?? peak.bytes();
    this.host.report(memoryNote(this.id, plan, peakBytes));
    const fallen = fallbackNote(this.id, plan, thread.takeFallbacks());
    if (fallen) this.host.report(fallen);
    return {
      summary: {
        peakBytes,
        accountedBytes: this.predictedBytes,
        medianStepSeconds: clock.medianStepSeconds,
        medianComputeSeconds: clock.medianComputeSeconds,
        steps: this.step,
        links: flowsOf(this.open),
      },
      weightsPath,
      tracePath: await this.files.trace(this.trace),
    };
  }

  private async compile(
    plan: RunPlan,
    paths: ReadonlyMap<Sha256, string>,
    ring: RingOptions,
  ): Promise<CompiledRank> {
    const { graph, constants } = await this.read(plan, paths);
    this.checkStopped();
    const datasets = await openDatasets(plan, graph, paths);
    this.datasets = datasets;
    this.checkStopped();
    const { thread } = this.host;
    const { rank } = this.id;
    const common = { plan, rank, thread, ring, trace: this.trace, ledger: this.ledger };
    if (plan.pipeline.stages.length === 1) {
      const model = new RankModel(graph, plan, datasets.train, thread, constants, this.ledger);
      this.ledger.add('data set', bytesOf(datasets));
      return Replica.compile({ ...common, datasets, model });
    }
    const { length, inputs, target } = datasets.train;
    const model = new StageModel(
      graph,
      plan,
      rank,
      { length, inputs, target },
      thread,
      constants,
      this.ledger,
    );
    if (!model.readsData) this.datasets = describeOnly(datasets);
    this.ledger.add('data set', bytesOf(this.datasets));
    return StageRank.compile({ ...common, datasets: this.datasets, model });
  }

  /** The model as training starts from it, and the constants that belong to its weights. */
  private async read(plan: RunPlan, paths: ReadonlyMap<Sha256, string>): Promise<Loaded> {
    const model = await RankModel.read(paths.get(plan.model.sha256)!, plan);
    const note = normalizationNote(this.id, plan, model.graph);
    if (note && this.id.rank === 0) this.host.report(note);
    if (!plan.weights) return model;
    const path = paths.get(hashIn(plan.weights.file))!;
    const { graph, constants } = await loadWeights(model.graph, path, plan.weights, 'weights');
    return { graph, constants: new Map([...model.constants, ...constants]) };
  }

  private async fetchAll(plan: RunPlan): Promise<ReadonlyMap<Sha256, string>> {
    const hashes = [...new Set([plan.model.sha256, ...runArtifacts(plan)])];
    return new Map(
      await Promise.all(hashes.map(async (hash) => [hash, await this.host.fetch(hash)] as const)),
    );
  }

  private async join(
    plan: RunPlan,
    compiled: CompiledRank,
    arena: Arena,
    ring: RingOptions,
  ): Promise<RankPart> {
    const { jobId, epoch, rank } = this.id;
    const member = { job: jobId, epoch, rank, worldSize: plan.ranks.length };
    const transport = await ZeroMqTransport.listen(member, {
      ...edgeLimits(ring),
      host: this.host.listenHost,
    });
    this.transport = transport;
    this.host.report({ kind: 'ready', run: this.id, endpoint: transport.address });
    const addresses = await withDeadline(
      this.unlessStopped(this.peers),
      PEERS_SECONDS,
      `rank ${rank}: waiting for the other ranks to be ready`,
    );
    const part = await this.unlessStopped(
      compiled.connect({
        transport,
        addresses,
        arena,
        ring,
        joinSeconds: JOIN_SECONDS,
        opened: (open) => {
          this.open.push(open);
          if (this.stopped) open.abort(this.stopped.message); // nobody waits for it any more
        },
      }),
    );
    void failTogether(this.open);
    await part.barrier();
    return part;
  }

  private async loop(plan: RunPlan, part: RankPart): Promise<StepClock> {
    const clock = new StepClock();
    this.enter('training');
    for (let step = 0; step < plan.totalSteps; step++) {
      this.checkStopped();
      const result = await part.step(step, () => this.checkStopped());
      this.step = step + 1;
      clock.add(result.samples, result.computeSeconds);
      const last = this.step === plan.totalSteps;
      const validates = plan.data.validation !== null && (last || isDue(this.step, plan.validateEverySteps));
      const saves = isDue(this.step, plan.checkpointEverySteps);
      if (last || validates || saves) await part.averageStatistics();
      let evaluation: Evaluation | undefined;
      if (validates) {
        this.enter('validating');
        evaluation = await part.evaluate(() => this.checkStopped());
        this.enter('training');
        clock.skip();
      }
      if (this.id.rank === 0 && (evaluation || last || isDue(this.step, plan.logEverySteps)))
        this.host.report(stepReport(this.id, plan, this.step, result, clock, evaluation));
      if (!saves) continue;
      const path = await this.save(part, `checkpoint-${this.step}`);
      if (path !== null) this.host.report({ kind: 'checkpoint', run: this.id, step: this.step, path });
    }
    return clock;
  }

  /** Writes what this rank has of the trained model. @returns null where another rank has the same */
  private async save(part: RankPart, name: string): Promise<string | null> {
    const weights = await part.weights();
    return weights ? this.files.weights(name, weights) : null;
  }

  private enter(phase: Phase): void {
    this.checkStopped();
    this.phase = phase;
    this.host.beat(); // before work that may block this thread: the daemon's patience depends on the phase
  }

  private unlessStopped<T>(waiting: Promise<T>): Promise<T> {
    return Promise.race([waiting, this.halted]);
  }

  private checkStopped(): void {
    if (this.stopped) throw this.stopped;
  }
}

function bytesOf({ train, validation }: Datasets): Bytes {
  return train.bytes + (validation?.bytes ?? 0);
}

/** Both ends are one version: bytes that are no plan are our mistake, not the user's. */
function planIn(encoded: Uint8Array): RunPlan {
  try {
    return decodeRunPlan(encoded);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InvariantError(`the coordinator sent no plan of a run: ${why}`, { cause });
  }
}

/** Whether step number `step` (from 1) is one of every `every`; never for 0. */
function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}
