import { create } from '@bufbuild/protobuf';
import { credentials, Metadata, type ClientDuplexStream } from '@grpc/grpc-js';
import { systemClock, type Clock, type Sha256 } from '../../base/index.js';
import {
  CHANNEL_OPTIONS,
  ControlClientBase,
  FromWorkerSchema,
  type FromWorker,
  type Hello,
  type ToWorker,
  type Welcome,
} from '../../protocol/index.js';
import { CoordinatorError, StoppedError } from '../errors.js';
import { Transfers, type ArtifactCalls } from './transfers.js';

const CONNECT_SECONDS = 5;

export interface SessionEvents {
  message(message: ToWorker['message']): void;
  /** The coordinator ended the session, or cannot be reached any more. Comes once. */
  ended(error: CoordinatorError): void;
}

type Stream = ClientDuplexStream<FromWorker, ToWorker>;

/** The methods that grpc-js makes from the service definition. */
interface ControlClient extends ArtifactCalls {
  join(metadata: Metadata): Stream;
  waitForReady(deadline: number, callback: (error?: Error) => void): void;
  close(): void;
}

/**
 * One gRPC session of a daemon with its coordinator. Nothing of what the coordinator says is lost between
 * `open` and `listen`: the stream rests meanwhile.
 */
export class Session {
  private readonly transfers: Transfers;
  private over: CoordinatorError | 'closed' | undefined;
  private events: SessionEvents | undefined;

  private constructor(
    private readonly address: string,
    private readonly client: ControlClient,
    private readonly stream: Stream,
    readonly welcome: Welcome,
    clock: Clock,
  ) {
    this.transfers = new Transfers(client, address, clock);
  }

  /**
   * Joins the coordinator at `address` (HOST:PORT), within ten seconds.
   * @param signal gives up at once when it is aborted
   * @throws CoordinatorError `coordinator_unreachable`, or the code of a refusal (`version_mismatch`, `name_taken`)
   * @throws StoppedError when `signal` was aborted
   */
  static async open(
    address: string,
    hello: Hello,
    signal: AbortSignal,
    clock: Clock = systemClock,
  ): Promise<Session> {
    const client = new ControlClientBase(
      address,
      credentials.createInsecure(),
      CHANNEL_OPTIONS,
    ) as unknown as ControlClient;
    let stream: Stream | undefined;
    try {
      await unlessAborted(signal, connected(client));
      stream = client.join(new Metadata());
      stream.on('error', () => undefined); // whoever listens has more to say; nobody may be there to listen
      const begin = (joined: Stream, welcome: Welcome) => {
        const session = new Session(address, client, joined, welcome, clock);
        session.follow();
        return session;
      };
      return await unlessAborted(signal, greet(stream, address, hello, clock, begin));
    } catch (error) {
      stream?.cancel();
      client.close();
      if (error instanceof CoordinatorError || error instanceof StoppedError) throw error;
      throw new CoordinatorError(
        'coordinator_unreachable',
        `nothing answered as a dtrain coordinator at ${address}; start one with: dtrain coordinator`,
        { cause: error, retryable: true },
      );
    }
  }

  /** From now on `events` are told, beginning with what came since the welcome. */
  listen(events: SessionEvents): void {
    this.events = events;
    if (this.over instanceof CoordinatorError) events.ended(this.over);
    else this.stream.resume();
  }

  /** Dropped without a word when the session is over: `ended` tells that. */
  send(message: NonNullable<FromWorker['message']>): void {
    if (this.over === undefined) this.stream.write(create(FromWorkerSchema, { message }));
  }

  artifact(sha256: Sha256): AsyncIterable<Uint8Array> {
    return this.transfers.get(sha256);
  }

  putArtifact(sha256: Sha256, path: string): Promise<void> {
    return this.transfers.put(sha256, path);
  }

  close(): void {
    this.over ??= 'closed';
    this.release();
  }

  private follow(): void {
    this.stream.on('data', ({ message }: ToWorker) => {
      if (this.over === undefined) this.events?.message(message);
    });
    this.stream.pause();
    this.stream.on('error', (error: Error) => this.lost(error.message));
    this.stream.on('end', () => this.lost('it closed the stream'));
  }

  private lost(detail: string): void {
    if (this.over !== undefined) return;
    const what = `the session with the coordinator at ${this.address} ended: ${detail}`;
    const error = new CoordinatorError('coordinator_lost', what, { retryable: true });
    this.over = error;
    this.release();
    this.events?.ended(error);
  }

  private release(): void {
    this.transfers.cancel();
    this.stream.end();
    this.stream.cancel();
    this.client.close();
  }
}

function connected(client: ControlClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + CONNECT_SECONDS * 1000, (error) => (error ? reject(error) : resolve()));
  });
}

/** Says hello and waits for the answer. The stream rests afterwards, with no listeners but those of `begin`. */
function greet(
  stream: Stream,
  address: string,
  hello: Hello,
  clock: Clock,
  begin: (stream: Stream, welcome: Welcome) => Session,
): Promise<Session> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      cancel();
      stream.pause();
      stream.off('data', onData).off('error', onError).off('end', onEnd);
      act();
    };
    const unanswered = (detail: string) =>
      settle(() =>
        reject(
          new CoordinatorError(
            'coordinator_unreachable',
            `the coordinator at ${address} did not answer this worker's hello: ${detail}`,
            { retryable: true },
          ),
        ),
      );
    const onData = ({ message }: ToWorker) => {
      if (message.case === 'welcome') settle(() => resolve(begin(stream, message.value)));
      else if (message.case === 'refusal') {
        const { code, message: why } = message.value;
        settle(() =>
          reject(new CoordinatorError(code, `the coordinator at ${address} refused this worker: ${why}`)),
        );
      }
    };
    const onError = (error: Error) => unanswered(error.message);
    const onEnd = () => unanswered('it closed the stream');
    const cancel = clock.after(CONNECT_SECONDS, () => unanswered(`silence for ${CONNECT_SECONDS} s`));
    stream.on('data', onData).on('error', onError).on('end', onEnd);
    stream.write(create(FromWorkerSchema, { message: { case: 'hello', value: hello } }));
  });
}

async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new StoppedError('the worker is closing'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
