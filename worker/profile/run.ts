import { readFile } from 'node:fs/promises';
import type { Sha256 } from '../../base/index.js';
import { readModel, setBatchNormalization, setLossOutput } from '../../graph/index.js';
import {
  decodeProfileTask,
  encodeModelProfile,
  type ModelProfile,
  type ProfileTask,
} from '../../protocol/index.js';
import type { ComputeThread } from '../engine/index.js';
import { profileModel } from './profile.js';

/** What a profile run needs of its executor. */
export interface ProfileHost {
  readonly thread: ComputeThread;
  /** The path of an artifact on this host. */
  fetch(sha256: Sha256): Promise<string>;
}

/** One profile run on a device. */
export class ProfileRun {
  private stopped = false;

  constructor(private readonly host: ProfileHost) {}

  /** No program is begun any more; the one that runs is finished, and what was timed is the result. */
  stop(): void {
    this.stopped = true;
  }

  /**
   * @param bytes a ProfileTask
   * @returns a ModelProfile
   * @throws ValidationError, what fetching and reading the model throw, what `profileModel` throws
   */
  async run(bytes: Uint8Array): Promise<Uint8Array> {
    const task = decodeProfileTask(bytes);
    try {
      return encodeModelProfile(await this.profile(task));
    } finally {
      globalThis.gc?.(); // models and buffers: the run that comes next is within a budget
    }
  }

  private async profile(task: ProfileTask): Promise<ModelProfile> {
    const path = await this.host.fetch(task.model);
    const { graph: exported } = readModel(await readFile(path));
    const graph = setBatchNormalization(
      setLossOutput(exported, task.lossOutput ?? undefined),
      task.batchNormalization,
    );
    const now = () => performance.now() / 1000;
    return profileModel(this.host.thread, graph, task, now, () => this.stopped);
  }
}
