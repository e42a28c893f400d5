import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { credentials, Metadata, type ClientDuplexStream, type ClientWritableStream } from '@grpc/grpc-js';
import { EventEmitter, once } from 'node:events';
import { sha256, version } from '../../../base/index.js';
import { readSafetensors, writeSafetensors } from '../../../graph/index.js';
import {
  ArtifactChunkSchema,
  ArtifactRequestSchema,
  CHANNEL_OPTIONS,
  CheckpointWrittenSchema,
  ControlClientBase,
  decodeRunPlan,
  DeviceSchema,
  FromWorkerSchema,
  HeartbeatSchema,
  HelloSchema,
  LinkFlowSchema,
  RankFinishedSchema,
  RankReadySchema,
  RankStoppedSchema,
  StepReportSchema,
  type ArtifactChunk,
  type ArtifactReceipt,
  type FromWorker,
  type Launch,
  type RunPlan,
  type ToWorker,
} from '../../../protocol/index.js';

type Outgoing = FromWorker['message'];

interface Client {
  join(metadata: Metadata): ClientDuplexStream<FromWorker, ToWorker>;
  getArtifact(request: unknown, metadata: Metadata): AsyncIterable<ArtifactChunk>;
  putArtifact(
    callback: (error: Error | null, receipt?: ArtifactReceipt) => void,
  ): ClientWritableStream<ArtifactChunk>;
  close(): void;
}

export interface ScriptedDevice {
  readonly index?: number;
  readonly memoryBytes?: number;
  readonly flops?: number;
}

/** What a rank says at its end. */
export interface Finish {
  /** Default: true. */
  readonly weights?: boolean;
  readonly links?: readonly MessageInitShape<typeof LinkFlowSchema>[];
}

/** How a worker behaves; each hook may be replaced by a test. */
export interface Script {
  /** A launch arrived; default: ready at once. */
  launch(worker: ScriptedWorker, launch: Launch, plan: RunPlan): void | Promise<void>;
  /** All ranks are known; default: train to the end. */
  peers(worker: ScriptedWorker, launch: Launch, plan: RunPlan): void | Promise<void>;
  /** Default: stopped at once. */
  stop(worker: ScriptedWorker, launch: Launch): void;
}

/** A daemon made of gRPC and a script: it speaks the real protocol, and computes nothing. */
export class ScriptedWorker extends EventEmitter {
  readonly received: ToWorker['message'][] = [];
  readonly launches = new Map<string, { launch: Launch; plan: RunPlan }>();
  private beating: NodeJS.Timeout | undefined;
  private ended = false;

  private constructor(
    readonly name: string,
    private readonly client: Client,
    private readonly stream: ClientDuplexStream<FromWorker, ToWorker>,
    private readonly script: Script,
    private readonly weights: Uint8Array,
  ) {
    super();
  }

  static async join(
    address: string,
    options: {
      readonly name?: string;
      readonly devices?: readonly ScriptedDevice[];
      readonly script?: Partial<Script>;
      readonly version?: string;
      /** The trained weights: what the first replicas put, each a part. */
      readonly weights?: Uint8Array;
      readonly heartbeatMs?: number;
    } = {},
  ): Promise<ScriptedWorker> {
    const { name = 'host', devices = [{}], heartbeatMs = 200 } = options;
    const client = new ControlClientBase(
      address,
      credentials.createInsecure(),
      CHANNEL_OPTIONS,
    ) as unknown as Client;
    const stream = client.join(new Metadata());
    const worker = new ScriptedWorker(
      name,
      client,
      stream,
      { ...honest, ...options.script },
      options.weights ?? new Uint8Array(),
    );
    stream.on('data', ({ message }: ToWorker) => worker.hear(message));
    stream.on('error', () => worker.end());
    stream.on('end', () => worker.end());
    const hello = create(HelloSchema, {
      version: options.version ?? version,
      name,
      pid: process.pid,
      devices: devices.map(({ index, memoryBytes = 2 ** 31, flops = 1e10 }, i) =>
        create(DeviceSchema, {
          id: `${name}/cpu:${index ?? i}`,
          kind: 'cpu',
          engine: 'onnxruntime',
          threads: 1,
          memoryBytes,
          flops,
          convolutionFlops: flops,
          memoryBandwidthBytesPerSecond: 1e10,
          launchSeconds: 1e-6,
          speed: 1,
        }),
      ),
    });
    worker.tell({ case: 'hello', value: hello });
    await once(worker, 'answered');
    if (!worker.ended && heartbeatMs > 0) {
      worker.beating = setInterval(
        () => worker.tell({ case: 'heartbeat', value: create(HeartbeatSchema, { ranks: [] }) }),
        heartbeatMs,
      );
    }
    return worker;
  }

  tell(message: Outgoing): void {
    if (!this.ended) this.stream.write(create(FromWorkerSchema, { message }));
  }

  async artifact(hash: string): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for await (const chunk of this.client.getArtifact(
      create(ArtifactRequestSchema, { sha256: hash }),
      new Metadata(),
    )) {
      pieces.push(chunk.data);
    }
    return Buffer.concat(pieces);
  }

  put(hash: string, bytes: Uint8Array, chunkBytes = 2 ** 20): Promise<ArtifactReceipt> {
    return new Promise((resolve, reject) => {
      const call = this.client.putArtifact((error, receipt) => (error ? reject(error) : resolve(receipt!)));
      call.on('error', () => undefined);
      for (let at = 0; at === 0 || at < bytes.length; at += chunkBytes) {
        const head = at === 0 ? { sha256: hash, totalBytes: bytes.length } : {};
        call.write(create(ArtifactChunkSchema, { ...head, data: bytes.subarray(at, at + chunkBytes) }));
      }
      call.end();
    });
  }

  ready({ jobId, epoch, rank }: Launch, endpoint = `inproc://${rank}`): void {
    this.tell({ case: 'ready', value: create(RankReadySchema, { jobId, epoch, rank, endpoint }) });
  }

  step(
    { jobId, epoch, rank }: Launch,
    step: number,
    numbers: { loss?: number; validationLoss?: number; validationAccuracy?: number } = {},
  ): void {
    const report = {
      jobId,
      epoch,
      rank,
      step,
      dataEpoch: step / 8,
      loss: 1 / step,
      learningRate: 0.1,
      samplesPerSecond: 100,
      gradientNorm: 1,
      atSeconds: step / 10,
      ...numbers,
    };
    this.tell({ case: 'step', value: create(StepReportSchema, report) });
  }

  /** The weights of a rank that hands some over: all, or with several pipeline ranks each n-th parameter. */
  private async putPart({ jobId, rank }: Launch): Promise<string> {
    const { plan } = this.of(jobId)[0]!;
    const { pipelineRank } = plan.ranks[rank]!;
    if (plan.ranks.findIndex((other) => other.pipelineRank === pipelineRank) !== rank) return '';
    const pipelineRanks = Math.max(...plan.ranks.map((other) => other.pipelineRank)) + 1;
    const tensors = () => [...readSafetensors(this.weights, 'weights').tensors];
    const part =
      pipelineRanks === 1
        ? this.weights
        : writeSafetensors(new Map(tensors().filter((_, i) => i % pipelineRanks === pipelineRank)));
    await this.put(sha256(part), part);
    return sha256(part);
  }

  /** A checkpoint, of ranks that hand weights over. */
  async checkpoint(launch: Launch, step: number): Promise<void> {
    const weightsSha256 = await this.putPart(launch);
    if (weightsSha256 === '') return;
    const { jobId, epoch, rank } = launch;
    const value = create(CheckpointWrittenSchema, { jobId, epoch, rank, step, weightsSha256 });
    this.tell({ case: 'checkpoint', value });
  }

  /** What a rank records of itself: one step. */
  private async putTrace({ rank }: Launch): Promise<string> {
    const trace = Buffer.from(JSON.stringify({ rank, events: [['step', 0, 0, 3, 100 + rank, 102]] }));
    await this.put(sha256(trace), trace);
    return sha256(trace);
  }

  /** The end of training; the first replica of each pipeline rank hands its weights over first, each rank its trace. */
  async finish(launch: Launch, steps: number, { weights = true, links = [] }: Finish = {}): Promise<void> {
    const weightsSha256 = weights ? await this.putPart(launch) : '';
    const traceSha256 = await this.putTrace(launch);
    const { jobId, epoch, rank } = launch;
    const summary = {
      peakBytes: 2e8,
      accountedBytes: 1.9e8,
      medianStepSeconds: 0.01,
      medianComputeSeconds: 0.008,
      steps,
      links: links.map((flow) => create(LinkFlowSchema, flow)),
    };
    this.tell({
      case: 'finished',
      value: create(RankFinishedSchema, { jobId, epoch, rank, weightsSha256, traceSha256, ...summary }),
    });
  }

  stopped({ jobId, epoch, rank }: Launch): void {
    this.tell({ case: 'stopped', value: create(RankStoppedSchema, { jobId, epoch, rank }) });
  }

  /** The next message of a kind, or one that came already. */
  async heard(kind: NonNullable<ToWorker['message']['case']>): Promise<ToWorker['message']> {
    for (;;) {
      const found = this.received.find((message) => message.case === kind);
      if (found) return found;
      await once(this, 'message');
    }
  }

  /** Ends the session in the orderly way. */
  close(): void {
    this.end();
    this.stream.end();
    this.stream.cancel();
    this.client.close();
  }

  /** Keeps the connection, but says nothing any more: a process that was stopped. */
  fallSilent(): void {
    clearInterval(this.beating);
  }

  private end(): void {
    this.ended = true;
    clearInterval(this.beating);
    this.emit('answered');
    this.emit('message');
  }

  private hear(message: ToWorker['message']): void {
    this.received.push(message);
    switch (message.case) {
      case 'welcome':
      case 'refusal':
        this.emit('answered');
        break;
      case 'launch': {
        const plan = decodeRunPlan(message.value.plan);
        this.launches.set(message.value.device, { launch: message.value, plan });
        void this.script.launch(this, message.value, plan);
        break;
      }
      case 'peers':
        for (const { launch, plan } of this.of(message.value.jobId))
          void this.script.peers(this, launch, plan);
        break;
      case 'stop':
        for (const { launch } of this.of(message.value.jobId)) this.script.stop(this, launch);
        break;
      case 'listenForProbe': // links are taken for what they are by default
      case 'measureLink':
      case 'profile': // and so are rates
      case undefined:
        break;
    }
    this.emit('message');
  }

  private of(jobId: string) {
    return [...this.launches.values()].filter(({ launch }) => launch.jobId === jobId);
  }
}

/** Does all that is asked for. */
export const honest: Script = {
  launch: (worker, launch) => worker.ready(launch),
  peers: async (worker, launch, plan) => {
    if (launch.rank === 0) for (let step = 1; step <= plan.totalSteps; step++) worker.step(launch, step);
    await worker.finish(launch, plan.totalSteps);
  },
  stop: (worker, launch) => worker.stopped(launch),
};
