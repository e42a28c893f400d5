import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import {
  Arena,
  Communicator,
  edgeLimits,
  ringArenaBytes,
  ZeroMqTransport,
  DEFAULT_RING,
  type CommunicatorOptions,
} from '../../collectives/index.js';
import { InvariantError, withDeadline, type Sha256 } from '../../base/index.js';
import { loadWeights, safetensorsChunks, type Loaded } from '../../graph/index.js';
import { decodeRunPlan, type RunPlan } from '../../protocol/index.js';
import type { ResolvedDevice } from '../device/index.js';
import type { ComputeThread } from '../engine/index.js';
import { DiskError, StoppedError } from '../errors.js';
import { hashIn, openDatasets, runArtifacts, type Datasets } from './datasets.js';
import { Evaluator, type Evaluation } from './evaluator.js';
import type { Phase, RankMessage, RunId, RunSummary } from '../messages.js';
import { memoryNote, normalizationNote } from './notes.js';
import { shareOf } from './parts.js';
import { PeakMemory } from './peak-memory.js';
import { RankMemory } from './rank-memory.js';
import { RankModel } from './rank-model.js';
import { StepClock } from './step-clock.js';
import { Trainer, type StepResult } from './trainer.js';

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
}

/** One rank of one run, from the artifacts to the trained weights. */
export class RankRun {
  /** Optimizer steps done. */
  step = 0;
  phase: Phase = 'fetching';
  private readonly peers: Promise<readonly string[]>;
  private tellPeers!: (endpoints: readonly string[]) => void;
  /** Rejects when the run is told to stop. */
  private readonly halted: Promise<never>;
  private halt!: (reason: StoppedError) => void;
  private stopped: StoppedError | undefined;
  private datasets: Datasets | undefined;
  private model: RankModel | undefined;
  private transport: ZeroMqTransport | undefined;
  private communicator: Communicator | undefined;

  constructor(
    private readonly id: RunId,
    private readonly host: RankHost,
  ) {
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
    this.stopped ??= new StoppedError(reason);
    this.halt(this.stopped);
    this.communicator?.abort(reason);
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
    const parts = [
      () => this.communicator?.close(),
      () => this.transport?.close(),
      () => this.model?.dispose(), // a dead compute thread has nothing left to dispose
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
  }

  private async follow(plan: RunPlan): Promise<RankResult> {
    const peak = new PeakMemory();
    const paths = await this.unlessStopped(this.fetchAll(plan));
    this.enter('compiling');
    const { rank } = this.id;
    const { graph, constants } = await this.read(plan, paths);
    this.checkStopped();
    this.datasets = await openDatasets(plan, graph, paths);
    this.checkStopped();
    const model = new RankModel(graph, plan, this.datasets.train, this.host.thread, constants);
    this.model = model;
    const { rule } = model.settings[0]!; // all settings need the same state
    const worldSize = plan.ranks.length;
    const ring = { ...DEFAULT_RING, wire: plan.wire, deadline: plan.collectiveDeadlineSeconds };
    const arenaBytes = RankMemory.bytesFor(model.buckets, rule, worldSize, rank) + ringArenaBytes(ring);
    const arena = new Arena(arenaBytes, this.host.device.id);
    const memory = new RankMemory(arena, model.buckets, rule, worldSize, rank);
    memory.load(model.graph.parameters);
    await model.training.for(shareOf(plan, rank)); // compiled before the ring forms: its deadlines then count training alone
    this.enter('connecting');
    const communicator = await this.join(plan, arena, ring);
    const trainer = new Trainer(
      plan,
      rank,
      this.datasets.train,
      memory,
      communicator,
      model.training,
      model.settings,
      model.fixedBuffers(),
    );
    const { validation } = this.datasets;
    const evaluator = validation && new Evaluator(plan, rank, validation, communicator, model.evaluation);
    const clock = await this.loop(plan, trainer, evaluator, memory);
    this.enter('saving');
    const weightsPath = rank === 0 ? await this.save(memory, model, 'weights') : null;
    await communicator.barrier();
    this.host.report(memoryNote(this.id, plan, peak.bytes()));
    return {
      summary: {
        peakBytes: peak.bytes(),
        accountedBytes: plan.ranks[rank]!.accountedBytes,
        medianStepSeconds: clock.medianStepSeconds,
        medianComputeSeconds: clock.medianComputeSeconds,
        steps: this.step,
      },
      weightsPath,
    };
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

  private async join(plan: RunPlan, arena: Arena, ring: typeof DEFAULT_RING): Promise<Communicator> {
    const { jobId, epoch, rank } = this.id;
    const member = { job: jobId, epoch, rank, worldSize: plan.ranks.length };
    this.transport = await ZeroMqTransport.listen(member, {
      ...edgeLimits(ring),
      host: this.host.listenHost,
    });
    this.host.report({ kind: 'ready', run: this.id, endpoint: this.transport.address });
    const addresses = await withDeadline(
      this.unlessStopped(this.peers),
      PEERS_SECONDS,
      `rank ${rank}: waiting for the other ranks to be ready`,
    );
    const communicator = await this.unlessStopped(
      this.meet({ ...ring, transport: this.transport, arena, addresses, joinTimeout: JOIN_SECONDS }),
    );
    await communicator.barrier();
    return communicator;
  }

  private async meet(options: CommunicatorOptions): Promise<Communicator> {
    const communicator = await Communicator.join(options);
    this.communicator = communicator;
    if (this.stopped) communicator.abort(this.stopped.message); // nobody waits for it any more
    return communicator;
  }

  private async loop(
    plan: RunPlan,
    trainer: Trainer,
    evaluator: Evaluator | undefined,
    memory: RankMemory,
  ): Promise<StepClock> {
    const clock = new StepClock();
    this.enter('training');
    for (let step = 0; step < plan.totalSteps; step++) {
      this.checkStopped();
      const result = await trainer.step(step);
      this.step = step + 1;
      clock.add(result.samples, result.computeSeconds);
      const last = this.step === plan.totalSteps;
      const validates = evaluator !== undefined && (last || isDue(this.step, plan.validateEverySteps));
      const saves = isDue(this.step, plan.checkpointEverySteps);
      if (last || validates || saves) await this.averageStatistics(plan);
      let evaluation: Evaluation | undefined;
      if (validates) {
        this.enter('validating');
        evaluation = await evaluator.evaluate(trainer.engineParameters, () => this.checkStopped());
        this.enter('training');
        clock.skip();
      }
      if (this.id.rank !== 0) continue;
      if (evaluation || last || isDue(this.step, plan.logEverySteps))
        this.tell(plan, result, clock, evaluation);
      if (saves) {
        const path = await this.save(memory, this.model!, `checkpoint-${this.step}`);
        this.host.report({ kind: 'checkpoint', run: this.id, step: this.step, path });
      }
    }
    return clock;
  }

  /** Before they are used or saved, and at the end: afterwards they are the same on all ranks. */
  private averageStatistics(plan: RunPlan): Promise<void> {
    return this.model!.statistics.average(this.communicator!, shareOf(plan, this.id.rank) / plan.batch);
  }

  private tell(
    plan: RunPlan,
    result: StepResult,
    clock: StepClock,
    evaluation: Evaluation | undefined,
  ): void {
    this.host.report({
      kind: 'step',
      run: this.id,
      numbers: {
        step: this.step,
        dataEpoch: this.step / plan.stepsPerEpoch,
        loss: result.loss,
        learningRate: result.learningRate,
        samplesPerSecond: clock.samplesPerSecond,
        gradientNorm: result.gradientNorm,
        atSeconds: clock.seconds,
        ...(evaluation ? { validationLoss: evaluation.loss } : {}),
        ...(evaluation?.accuracy === undefined ? {} : { validationAccuracy: evaluation.accuracy }),
      },
    });
  }

  private async save(memory: RankMemory, model: RankModel, name: string): Promise<string> {
    const path = join(this.host.scratch, `${this.id.jobId}-${this.id.epoch}-${name}.safetensors`);
    try {
      await writeFile(path, safetensorsChunks(model.weights(memory.tensors()))); // piece by piece: no copy of the whole
    } catch (cause) {
      throw new DiskError('writing the weights to', path, cause);
    }
    return path;
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
