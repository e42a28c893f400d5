import { create } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { EventEmitter, once } from 'node:events';
import { sha256 } from '../../../base/index.js';
import {
  ArtifactChunkSchema,
  ArtifactReceiptSchema,
  CHANNEL_OPTIONS,
  controlService,
  encodeRunPlan,
  LaunchSchema,
  PeersSchema,
  RefusalSchema,
  StopSchema,
  ToWorkerSchema,
  WelcomeSchema,
  type ArtifactChunk,
  type ArtifactReceipt,
  type ArtifactRequest,
  type FromWorker,
  type Hello,
  type RunPlan,
  type ToWorker,
} from '../../../protocol/index.js';

type Stream = ServerDuplexStream<FromWorker, ToWorker>;
type Message = FromWorker['message'];
type MessageCase = NonNullable<Message['case']>;
type Of<K extends MessageCase> = Extract<Message, { case: K }>['value'];

/** A coordinator made of gRPC and a test's orders: it speaks the real protocol, and decides nothing. */
export class ScriptedCoordinator extends EventEmitter {
  /** All that daemons said, in order; heartbeats only while `keepHeartbeats`. */
  readonly received: Message[] = [];
  readonly hellos: Hello[] = [];
  /** What it can deliver, and what was handed over: by hash. */
  readonly artifacts = new Map<string, Uint8Array>();
  keepHeartbeats = false;
  /** The answer to each hello: a refusal's code, or undefined for a welcome. */
  refusals: (string | undefined)[] = [];
  private stream: Stream | undefined;

  private constructor(
    private readonly server: Server,
    readonly address: string,
  ) {
    super();
  }

  static async start(address = '127.0.0.1:0'): Promise<ScriptedCoordinator> {
    const server = new Server({ ...CHANNEL_OPTIONS, 'grpc.so_reuseport': 0 });
    const served: { by?: ScriptedCoordinator } = {};
    server.addService(controlService, {
      join: (stream: Stream) => served.by!.serve(stream),
      getArtifact: (call: ServerWritableStream<ArtifactRequest, ArtifactChunk>) => served.by!.deliver(call),
      putArtifact: (
        call: ServerReadableStream<ArtifactChunk, ArtifactReceipt>,
        answer: sendUnaryData<ArtifactReceipt>,
      ) => served.by!.take(call, answer),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    served.by = new ScriptedCoordinator(server, `127.0.0.1:${port}`);
    return served.by;
  }

  /** Ends without a word, as a process that is killed does. */
  close(): void {
    this.server.forceShutdown();
  }

  /** Ends the daemon's session, and stays. */
  endSession(): void {
    this.stream?.end();
  }

  launch(plan: RunPlan, rank: number, device: string): void {
    const { jobId, epoch } = plan;
    const value = create(LaunchSchema, { jobId, epoch, rank, device, plan: encodeRunPlan(plan) });
    this.say({ case: 'launch', value });
  }

  peers({ jobId, epoch }: RunPlan, endpoints: string[]): void {
    this.say({ case: 'peers', value: create(PeersSchema, { jobId, epoch, endpoints }) });
  }

  stop({ jobId, epoch }: RunPlan, reason = 'the test says so'): void {
    this.say({ case: 'stop', value: create(StopSchema, { jobId, epoch, reason }) });
  }

  /** Launches one rank and lets it begin as soon as it is ready. */
  async train(plan: RunPlan, device: string): Promise<void> {
    this.launch(plan, 0, device);
    const { endpoint } = await this.heard('ready', ({ jobId }) => jobId === plan.jobId);
    this.peers(plan, [endpoint]);
  }

  /** The first message of a kind that fits, once it is there. */
  async heard<K extends MessageCase>(kind: K, fits: (value: Of<K>) => boolean = () => true): Promise<Of<K>> {
    for (;;) {
      for (const message of this.received)
        if (message.case === kind && fits(message.value as Of<K>)) return message.value as Of<K>;
      await once(this, 'message');
    }
  }

  /** Forgets what was said so far. */
  forget(): void {
    this.received.length = 0;
  }

  /** Waits until so many daemons have said hello. */
  async greeted(times: number): Promise<void> {
    while (this.hellos.length < times) await once(this, 'message');
  }

  say(message: ToWorker['message']): void {
    this.stream?.write(create(ToWorkerSchema, { message }));
  }

  private serve(stream: Stream): void {
    stream.on('error', () => undefined);
    stream.on('end', () => {
      stream.end();
      this.emit('message');
    });
    stream.on('data', ({ message }: FromWorker) => {
      if (message.case === 'hello') this.greet(stream, message.value);
      else if (message.case !== 'heartbeat' || this.keepHeartbeats) this.received.push(message);
      this.emit('message');
    });
  }

  private greet(stream: Stream, hello: Hello): void {
    this.hellos.push(hello);
    this.stream = stream;
    const code = this.refusals.shift();
    if (code === undefined) {
      const value = create(WelcomeSchema, { workerId: 'worker_1', leaseSeconds: 3, heartbeatSeconds: 0.1 });
      this.say({ case: 'welcome', value });
    } else {
      this.say({ case: 'refusal', value: create(RefusalSchema, { code, message: 'because of the test' }) });
      stream.end();
    }
  }

  private deliver(call: ServerWritableStream<ArtifactRequest, ArtifactChunk>): void {
    const { sha256: hash } = call.request;
    const bytes = this.artifacts.get(hash);
    if (!bytes) {
      call.emit('error', { code: status.NOT_FOUND, details: `there is no artifact ${hash}` });
      return;
    }
    call.write(create(ArtifactChunkSchema, { sha256: hash, totalBytes: bytes.length, data: bytes }));
    call.end();
  }

  private take(
    call: ServerReadableStream<ArtifactChunk, ArtifactReceipt>,
    answer: sendUnaryData<ArtifactReceipt>,
  ): void {
    const chunks: Uint8Array[] = [];
    let hash = '';
    call.on('data', (chunk: ArtifactChunk) => {
      if (chunk.sha256 !== '') hash = chunk.sha256;
      chunks.push(chunk.data);
    });
    call.on('end', () => {
      const bytes = Buffer.concat(chunks);
      if (sha256(bytes) !== hash) {
        answer({ code: status.DATA_LOSS, details: `the bytes are not those of ${hash}` });
        return;
      }
      this.artifacts.set(hash, bytes);
      answer(null, create(ArtifactReceiptSchema, { sha256: hash, bytes: bytes.length }));
    });
  }
}
