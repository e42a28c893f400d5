import type { Launch, ToWorker } from '../../protocol/index.js';
import type { Posts, Tell } from './post.js';
import { toExecutor, toFromWorker } from './translate.js';

/** What the coordinator says, passed on to the executors that it concerns. */
export class Orders {
  constructor(
    private readonly posts: Posts,
    private readonly tell: Tell,
  ) {}

  receive(message: ToWorker['message']): void {
    switch (message.case) {
      case 'launch':
        this.launch(message.value);
        return;
      case 'peers':
      case 'stop': {
        const { jobId, epoch } = message.value;
        for (const { supervisor, run } of this.posts.values()) {
          if (run?.id.jobId !== jobId || run.id.epoch !== epoch) continue;
          supervisor.send(
            message.case === 'peers'
              ? { kind: 'peers', run: run.id, endpoints: message.value.endpoints }
              : { kind: 'stop', run: run.id, reason: message.value.reason },
          );
        }
        return;
      }
      case 'listenForProbe':
      case 'measureLink': {
        const { probe, device } = message.value;
        const supervisor = this.posts.get(device)?.supervisor;
        if (supervisor?.running)
          supervisor.send(
            message.case === 'listenForProbe'
              ? { kind: 'listen-for-probe', probe }
              : { kind: 'measure-link', probe, endpoint: message.value.endpoint },
          );
        else this.tell(toFromWorker.probeFailed(probe, `${device} has no executor just now`));
        return;
      }
      case 'profile': {
        const { profile, device, task } = message.value;
        const supervisor = this.posts.get(device)?.supervisor;
        if (supervisor?.running) supervisor.send({ kind: 'profile', profile, task });
        else this.tell(toFromWorker.profileFailed(profile, `${device} has no executor just now`));
        return;
      }
      case 'welcome':
      case 'refusal':
      case undefined:
        return;
    }
  }

  private launch(order: Launch): void {
    const { device, plan } = order;
    const id = toExecutor.runOf(order);
    const post = this.posts.get(device);
    if (post?.supervisor.running) {
      post.run = { id, step: 0, phase: 'fetching', failed: false };
      post.supervisor.send({ kind: 'launch', run: id, plan });
      return;
    }
    const why = post ? 'its executor is being started anew' : 'there is no such device';
    const message = `${device} cannot take a run: ${why}`;
    const report = { family: 'peer', code: 'no_such_device', message, ids: { device } } as const;
    this.tell(toFromWorker.failed(id, device, report));
    this.tell(toFromWorker.stopped(id));
  }
}
