import type { Seconds } from '../../base/index.js';
import { Arena, type Allocation } from '../arena.js';
import { CollectiveUsageError, type CollectiveError } from '../errors.js';
import type { WireFormat } from '../kernels/kernels.js';
import { wasmKernels } from '../kernels/wasm.js';
import { pieceLength, shardBounds, type Range } from '../ring/bounds.js';
import {
  allGatherProgram,
  allReduceProgram,
  broadcastProgram,
  reduceScatterProgram,
  type RingProgram,
} from '../ring/program.js';
import type { Member, Transport } from '../transport/transport.js';
import { Channel } from './channel.js';
import { placeIn, type RankGroup, type RingPlace } from './group.js';
import { Operation, type OperationKind } from './operation.js';
import { DEFAULT_RING, edgeLimits, ringArenaBytes, stagingBytes, type RingOptions } from './options.js';
import { Ring } from './ring.js';
import { Float32Store, Float64Store, PackedStore, type ElementStore, type Workbench } from './store.js';

/** Values that the ranks hold together: the same id and length on every rank, in the communicator's arena. */
export interface Bucket {
  readonly id: number;
  readonly values: Float32Array;
}

export interface CallOptions {
  /** `float32` sends this call's values unrounded, whatever the communicator's wire. */
  readonly wire?: WireFormat;
}

export interface CommunicatorOptions extends Partial<RingOptions> {
  readonly transport: Transport;
  readonly arena: Arena;
  /** Where each rank of the membership listens, in rank order. */
  readonly addresses: readonly string[];
  /** Only these ranks, in a ring of their own. The ranks and shards of its collectives count within the group. */
  readonly group?: RankGroup;
  /** How long to wait for the neighbours when the ring is formed. */
  readonly joinTimeout?: Seconds;
}

const CONTROL_BUCKET = 0xffffffff;

/**
 * Collectives between the ranks of one membership, or of a group of them, over a ring. A membership may have many
 * rings side by side; errors name ranks by their number in the membership.
 *
 * Pairing: every rank makes the same calls in the same order; they may overlap (issue a bucket's
 * reduce-scatter while the next bucket is still being computed), and each resolves on its own. A bucket in
 * flight must be left alone. Never blocks the event loop for more than a few milliseconds.
 *
 * A promise resolves when this rank has all its values and its neighbour has acknowledged all that this rank
 * sent; other ranks may still be receiving from each other. `barrier` (or any collective that follows) tells
 * that all were done. A promise rejects with CollectiveError, and with it every other call in flight or to
 * come, on every rank that can be reached; the buckets then hold unspecified values. Nothing waits for ever.
 *
 * Every rank ends with bit-identical values. Sums are accumulated in float32 in ring order.
 */
export class Communicator {
  /** This rank's number in the ring, and how many ranks the ring has. */
  readonly rank: number;
  readonly worldSize: number;
  /** Resolves with the error when the communicator fails; stays pending while it works and after an orderly close. */
  readonly failure: Promise<CollectiveError>;
  private readonly ring: Ring | undefined;
  private readonly workspace: Allocation | undefined;
  private readonly bench: Workbench;
  private closed = false;

  /**
   * Forms the ring: connects to both neighbours.
   * @throws TransportError `refused` or `handshake_timeout`, naming the neighbour; BudgetError when the arena has
   *   no room for the ring's workspace (`ringArenaBytes`); CollectiveUsageError for a group that cannot be. Nothing is left open or allocated then.
   */
  static async join(given: CommunicatorOptions): Promise<Communicator> {
    const options = { ...DEFAULT_RING, ...given };
    const { member } = options.transport;
    checkMember(member, options.addresses.length);
    const place = placeIn(member, given.group);
    if (place.size === 1) return new Communicator(options, member, place);
    const workspace = options.arena.allocate('ring workspace', ringArenaBytes(options));
    try {
      const channels = await openChannels(
        options.transport,
        place,
        options,
        options.addresses,
        given.joinTimeout ?? 30,
      );
      return new Communicator(options, member, place, { ...channels, workspace });
    } catch (error) {
      options.arena.release(workspace);
      throw error;
    }
  }

  private constructor(
    private readonly options: RingOptions & Pick<CommunicatorOptions, 'arena'>,
    member: Member,
    place: RingPlace,
    links?: { left: Channel; right: Channel; workspace: Allocation },
  ) {
    this.rank = place.rank;
    this.worldSize = place.size;
    const { arena } = options;
    let failed: (error: CollectiveError) => void = () => undefined;
    this.failure = new Promise((resolve) => (failed = resolve));
    this.workspace = links?.workspace;
    const scratch = this.workspace?.byteOffset ?? 0;
    const slotBytes = Arena.sizeOf(options.maxPieceBytes / 2);
    const staging = scratch + ringArenaBytes(options) - stagingBytes(options);
    this.bench = {
      kernels: wasmKernels(arena.memory),
      memory: new Uint8Array(arena.memory.buffer),
      scratch,
      staging: (slot) => staging + slot * slotBytes,
    };
    this.ring = links && new Ring(member, place.title, links.left, links.right, options, failed);
  }

  /** The part of a bucket of `length` elements that this rank owns after `reduceScatter`, and gives in `allGather`. */
  shard(length: number): Range {
    return shardBounds(length, this.worldSize, this.rank);
  }

  /** Sums the bucket over all ranks; afterwards this rank's shard holds the sum, the rest partial sums of no use. */
  reduceScatter(bucket: Bucket, options?: CallOptions): Promise<void> {
    return this.run('reduce-scatter', bucket, reduceScatterProgram, options);
  }

  /** Gives every rank every shard, as its owner has it. With a 16-bit wire the owner's own values are rounded too. */
  allGather(bucket: Bucket, options?: CallOptions): Promise<void> {
    return this.run('all-gather', bucket, allGatherProgram, options);
  }

  /** Sums the bucket over all ranks, on all ranks. */
  allReduce(bucket: Bucket, options?: CallOptions): Promise<void> {
    return this.run('all-reduce', bucket, allReduceProgram, options);
  }

  /** Gives every rank the values that `root` has. */
  broadcast(bucket: Bucket, root: number, options?: CallOptions): Promise<void> {
    if (!Number.isInteger(root) || root < 0 || root >= this.worldSize) {
      return Promise.reject(
        new CollectiveUsageError(`broadcast from rank ${root} of ${this.worldSize}`, { root }),
      );
    }
    return this.run(
      'broadcast',
      bucket,
      (rank, worldSize) => broadcastProgram(rank, worldSize, root),
      options,
    );
  }

  /** Resolves when every rank has called it. */
  async barrier(): Promise<void> {
    await this.gather('barrier', Float64Array.of(0));
  }

  /**
   * The sums of a few control values (losses, counts, flags) over all ranks, added in float64 in rank order,
   * so that every rank gets identical bits. The same number of values on every rank.
   */
  async allReduceScalars(values: Float64Array): Promise<Float64Array> {
    const gathered = await this.gather('scalars', values);
    const sums = new Float64Array(values.length);
    for (let rank = 0; rank < this.worldSize; rank++) {
      for (let i = 0; i < sums.length; i++) sums[i]! += gathered[rank * sums.length + i]!;
    }
    return sums;
  }

  /** Gives up all that is in flight, on every rank; an error of another ring or a stream passes on whom it blames. The communicator is of no use afterwards. */
  abort(reason: string | CollectiveError): void {
    this.ring?.abort(reason);
    this.release();
  }

  /**
   * Leaves the ring, in order: every rank calls it after its last collective; one in flight is aborted.
   * Resolves when the neighbours have confirmed, or within about two seconds. The transport stays open.
   */
  async close(): Promise<void> {
    await this.ring?.close();
    this.release();
  }

  private run(
    kind: OperationKind,
    bucket: Bucket,
    programFor: (rank: number, worldSize: number) => RingProgram,
    call: CallOptions = {},
  ): Promise<void> {
    const { ring } = this;
    const wire = call.wire ?? this.options.wire;
    const mistake = this.mistakeIn(bucket, wire);
    if (mistake !== undefined)
      return Promise.reject(new CollectiveUsageError(mistake, { kind, bucket: bucket.id, rank: this.rank }));
    if (ring === undefined) return Promise.resolve();
    const store =
      wire === 'float32'
        ? new Float32Store(bucket.values, this.bench)
        : new PackedStore(bucket.values, wire, this.bench);
    return this.issue(ring, kind, bucket.id, programFor(this.rank, this.worldSize), store);
  }

  private async gather(kind: 'scalars' | 'barrier', values: Float64Array): Promise<Float64Array> {
    const all = new Float64Array(values.length * this.worldSize);
    all.set(values, values.length * this.rank);
    if (this.ring && values.length > 0) {
      await this.issue(
        this.ring,
        kind,
        CONTROL_BUCKET,
        allGatherProgram(this.rank, this.worldSize),
        new Float64Store(all),
      );
    }
    return all;
  }

  private issue(
    ring: Ring,
    kind: OperationKind,
    bucket: number,
    program: RingProgram,
    store: ElementStore,
  ): Promise<void> {
    const { minPieceBytes, maxPieceBytes } = this.options;
    // Pieces are measured in float32, whatever the wire, so that one fits the scratch and its staging slot.
    const pieceElements = pieceLength(
      store.length,
      program.chunks,
      minPieceBytes / 4,
      maxPieceBytes / Math.max(4, store.wireBytes),
    );
    return new Promise((resolve, reject) => {
      ring.issue(new Operation(ring.nextId, kind, bucket, program, store, pieceElements, resolve, reject));
    });
  }

  private mistakeIn(bucket: Bucket, wire: WireFormat): string | undefined {
    if (this.closed && !this.ring?.broken) return 'the communicator is closed';
    if (!Number.isInteger(bucket.id) || bucket.id < 0 || bucket.id >= CONTROL_BUCKET) {
      return `bucket id ${bucket.id} is not a whole number below ${CONTROL_BUCKET}`;
    }
    if (!this.options.arena.owns(bucket.values))
      return `bucket ${bucket.id} does not lie in the communicator's arena`;
    if (wire !== 'float32' && wire !== this.options.wire)
      return `a ${wire} call on a communicator made for ${this.options.wire}`;
    return undefined;
  }

  private release(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.workspace) this.options.arena.release(this.workspace);
  }
}

/** The edges to both neighbours, or neither. */
async function openChannels(
  transport: Transport,
  place: RingPlace,
  options: RingOptions,
  addresses: readonly string[],
  timeout: Seconds,
): Promise<{ left: Channel; right: Channel }> {
  const { member } = transport;
  const { left, right, purpose } = place;
  const [out, into] = await Promise.allSettled([
    transport.connect(right, addresses[right]!, timeout, purpose),
    transport.accept(left, timeout, purpose),
  ]);
  const { maxMessageBytes } = edgeLimits(options);
  if (out.status === 'fulfilled' && into.status === 'fulfilled') {
    return {
      left: new Channel(into.value, member, maxMessageBytes),
      right: new Channel(out.value, member, maxMessageBytes),
    };
  }
  for (const edge of [out, into]) if (edge.status === 'fulfilled') edge.value.abort();
  throw out.status === 'rejected' ? out.reason : (into as PromiseRejectedResult).reason;
}

function checkMember(member: Member, addresses: number): void {
  const { epoch, rank, worldSize } = member;
  if (addresses !== worldSize) {
    throw new CollectiveUsageError(`${addresses} addresses for ${worldSize} ranks`, { ...member });
  }
  if (!Number.isInteger(epoch) || epoch < 0 || epoch >= 2 ** 32) {
    throw new CollectiveUsageError(`epoch ${epoch} is not an unsigned 32-bit number`, { ...member });
  }
  if (!Number.isInteger(rank) || rank < 0 || rank >= worldSize) {
    throw new CollectiveUsageError(`there is no rank ${rank} of ${worldSize}`, { ...member });
  }
}
