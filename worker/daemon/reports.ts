import { reportOf } from '../../base/index.js';
import type { FromWorker } from '../../protocol/index.js';
import { CoordinatorError } from '../errors.js';
import type { FromExecutor, RunId } from '../messages.js';
import type { ArtifactCache } from './artifact-cache.js';
import { sameRun, type Post, type Posts, type Tell } from './post.js';
import type { Session } from './session.js';
import { toFromWorker } from './translate.js';

/** What executors say, passed on to the coordinator: files first, then the message that names them. */
export class Reports {
  constructor(
    private readonly posts: Posts,
    private readonly cache: ArtifactCache,
    private readonly session: () => Session | undefined,
    private readonly tell: Tell,
  ) {}

  receive(device: string, message: FromExecutor): void {
    const post = this.posts.get(device)!;
    switch (message.kind) {
      case 'probed':
      case 'unusable':
      case 'giving-up':
        return;
      case 'beat':
        if (post.run && message.run && sameRun(post.run.id, message.run)) {
          post.run.step = message.step;
          post.run.phase = message.phase;
        }
        return;
      case 'probe-listening':
        this.tell(toFromWorker.probeListening(message.probe, message.endpoint));
        return;
      case 'link-measured':
        this.tell(toFromWorker.linkMeasured(message.probe, message.link));
        return;
      case 'probe-failed':
        this.tell(toFromWorker.probeFailed(message.probe, message.message));
        return;
      case 'profiled':
        this.tell(toFromWorker.profiled(message.profile, message.result));
        return;
      case 'profile-failed':
        this.tell(toFromWorker.profileFailed(message.profile, message.message));
        return;
      case 'fetch':
        void this.deliver(post, message.sha256);
        return;
      case 'ready':
        this.tell(toFromWorker.ready(message.run, message.endpoint));
        return;
      case 'step':
        this.tell(toFromWorker.step(message.run, message.numbers));
        return;
      case 'log':
        this.tell(toFromWorker.log(message.run, message.level, message.message));
        return;
      case 'checkpoint': {
        const { run, step, path } = message;
        this.upload(post, run, [path], (sha256) => toFromWorker.checkpoint(run, step, sha256));
        return;
      }
      case 'finished': {
        const { run, summary, weightsPath, tracePath } = message;
        this.upload(post, run, [weightsPath, tracePath], (weights, trace) =>
          toFromWorker.finished(run, summary, weights, trace),
        );
        return;
      }
      case 'failed':
        if (post.run && sameRun(post.run.id, message.run)) post.run.failed = true;
        this.tell(toFromWorker.failed(message.run, device, message.error));
        return;
      case 'stopped':
        void post.uploads.settled().then(() => {
          // another run may have been launched meanwhile
          if (post.run && sameRun(post.run.id, message.run)) post.run = undefined;
          this.tell(toFromWorker.stopped(message.run));
        });
        return;
    }
  }

  private async deliver({ supervisor }: Post, sha256: string): Promise<void> {
    try {
      const session = this.session();
      if (!session) throw new CoordinatorError('coordinator_lost', 'the coordinator is gone');
      const path = await this.cache.get(sha256, (hash) => session.artifact(hash));
      supervisor.send({ kind: 'fetched', sha256, path });
    } catch (error) {
      supervisor.send({ kind: 'fetch-failed', sha256, error: reportOf(error) });
    }
  }

  /** Hands a rank's files to the coordinator, then tells of them by their hashes; '' is that of no file. */
  private upload(
    { supervisor, uploads }: Post,
    run: RunId,
    paths: readonly (string | null)[],
    message: (...sha256: string[]) => FromWorker['message'],
  ): void {
    uploads.put(
      paths,
      (sha256) => this.tell(message(...sha256)),
      (error) => this.tell(toFromWorker.failed(run, supervisor.device.id, error)),
    );
  }
}
