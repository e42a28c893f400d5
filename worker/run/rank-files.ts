import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { safetensorsChunks, type Tensor } from '../../graph/index.js';
import { DiskError } from '../errors.js';
import type { RunId } from '../messages.js';
import type { TraceRecorder } from '../trace/index.js';

/** What a rank leaves on the disk of its host: files of its run in the executor's folder. */
export class RankFiles {
  constructor(
    private readonly folder: string,
    private readonly run: RunId,
  ) {}

  /** @returns the file's path @throws DiskError */
  async weights(name: string, weights: ReadonlyMap<string, Tensor>): Promise<string> {
    const path = this.path(`${name}.safetensors`);
    try {
      await writeFile(path, safetensorsChunks(weights)); // piece by piece: no copy of the whole
    } catch (cause) {
      throw new DiskError('writing the weights to', path, cause);
    }
    return path;
  }

  /** @returns the file's path @throws DiskError */
  async trace(trace: TraceRecorder): Promise<string> {
    const path = this.path('trace.json');
    try {
      await trace.write(path);
    } catch (cause) {
      throw new DiskError('writing the trace to', path, cause);
    }
    return path;
  }

  private path(name: string): string {
    const { jobId, epoch, rank } = this.run;
    return join(this.folder, `${jobId}-${epoch}-${rank}-${name}`);
  }
}
