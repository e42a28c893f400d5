import { hostname } from 'node:os';
import type { Command } from 'commander';
import { createLogger } from '../../base/index.js';
import { localAddressTowards, parseAddress } from '../host/address.js';
import { cacheFolder } from '../host/folders.js';
import { runUntilInterrupted } from '../host/lifetime.js';
import type { Session } from '../session.js';
import { examples } from './options.js';

interface Options {
  readonly coordinator: string;
  readonly name: string;
  readonly device?: readonly string[];
  readonly cacheDir?: string;
  readonly listen?: string;
}

/** `dtrain worker`: the daemon of a host, one process a device. */
export function registerWorker(program: Command, session: Session): void {
  program
    .command('worker')
    .description("run a host's daemon: it offers devices to a coordinator, one process each")
    .requiredOption('--coordinator <host:port>', "the coordinator's gRPC address")
    .option('--name <name>', 'name of this host in the cluster', hostname())
    .option('--device <spec...>', 'a device to offer, or several (default: cpu:0)')
    .option(
      '--listen <host>',
      'address of this host that other workers reach (default: the one that leads to the coordinator)',
    )
    .option('--cache-dir <dir>', 'folder for models and data fetched (default: ~/.cache/dtrain)')
    .addHelpText(
      'after',
      `
A device: KIND[:INDEX][,memory=2GiB][,threads=1][,engine=onnxruntime][,speed=0.5]
KIND is cpu, webgpu, cuda, webgl or wasm; "dtrain devices" lists those that work here, with their engines.
memory is the budget that the device keeps to; speed makes it slower, to rehearse an unequal cluster.
A device that does not compute a small training step right does not join.
${examples(
  'dtrain worker --coordinator big:7701 --device cpu:0,memory=4GiB,threads=4',
  'dtrain worker --coordinator big:7701 --device webgpu:0,memory=6GiB --device cpu:0,memory=4GiB',
)}`,
    )
    .action(async (options: Options) => {
      const { parseDeviceSpec, startWorkerDaemon } = await import('../../worker/index.js');
      const coordinator = parseAddress('--coordinator', options.coordinator);
      const devices = (options.device ?? ['cpu:0']).map(parseDeviceSpec);
      const listenHost = options.listen ?? (await localAddressTowards(coordinator));
      const cacheDir = cacheFolder(options.cacheDir, session.env, session.cwd);
      await runUntilInterrupted(session, async (lifetime) => {
        const worker = await lifetime.start(
          startWorkerDaemon({
            coordinator: options.coordinator,
            name: options.name,
            devices,
            cacheDir,
            listenHost,
            logger: createLogger('worker'),
            signal: session.interrupt,
          }),
        );
        for (const { reason } of worker.skipped) session.terminal.note(`left out: ${reason}`);
        const joined = worker.joined.map(({ id }) => id).join(', ');
        session.terminal.note(`${options.name} has joined ${options.coordinator} with ${joined}`);
        return { done: worker.done };
      });
    });
}
