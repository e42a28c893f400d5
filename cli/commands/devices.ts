import type { Command } from 'commander';
import { formatBytes } from '../../base/index.js';
import type { DevicePage, DeviceRecord, LinkRecord } from '../../protocol/index.js';
import { clientFor, namedCoordinator, type Session } from '../session.js';
import { table } from '../terminal/table.js';
import { examples, withCoordinator, withJson } from './options.js';

/** How long the default address may take to answer before this host is shown instead. */
const ANSWER_SECONDS = 1;

/** `dtrain devices`: all that have joined; where there is no coordinator, what this host has. */
export function registerDevices(program: Command, session: Session): void {
  const command = program
    .command('devices')
    .description('list the devices that have joined; without a coordinator, those of this host');
  withJson(withCoordinator(command))
    .addHelpText('after', examples('dtrain devices', 'dtrain devices --coordinator http://big:7700 --json'))
    .action(async (options: { coordinator?: string }) => {
      const client = clientFor(session, options.coordinator);
      const named = namedCoordinator(session, options.coordinator) !== undefined;
      if (named || (await client.isThere(ANSWER_SECONDS))) {
        const page = await client.devices();
        session.terminal.answer({ coordinator: client.url, ...page }, () => joined(page));
        return;
      }
      const { probeDevices } = await import('../../worker/index.js');
      const devices = (await probeDevices()).map(
        ({ memoryBandwidthBytesPerSecond: memoryBandwidth, ...device }) => ({
          ...device,
          memoryBandwidth,
        }),
      );
      session.terminal.note(`no coordinator at ${client.url}: these are the devices of this host`);
      session.terminal.answer({ coordinator: null, devices }, () =>
        table(
          ['DEVICE', 'ENGINE', 'THREADS', 'MEMORY', ...RATES],
          devices.map((device) => [
            device.id,
            device.engine,
            String(device.threads),
            formatBytes(device.memoryBytes),
            ...ratesOf(device),
          ]),
        ),
      );
    });
}

function joined({ devices, links }: DevicePage): string {
  if (devices.length === 0) return 'no device has joined; start one with: dtrain worker';
  const all = table(
    ['DEVICE', 'STATE', 'ENGINE', 'THREADS', 'BUDGET', ...RATES, 'SPEED', 'JOB'],
    devices.map((device) => [
      device.id,
      device.state,
      device.engine,
      String(device.threads),
      formatBytes(device.memoryBytes),
      ...ratesOf(device),
      device.speed === 1 ? 'full' : `${Math.round(100 * device.speed)} %`,
      device.job ?? '-',
    ]),
  );
  return links.length === 0 ? all : `${all}\n\n${linkTable(links)}`;
}

function linkTable(links: readonly LinkRecord[]): string {
  return table(
    ['LINK', 'MB/S', 'LATENCY', 'MEASURED'],
    links.map(({ between: [a = '', b = ''], bandwidth, latency, measuredAt }) => [
      a === b ? `within ${a}` : `${a} - ${b}`,
      (bandwidth / 1e6).toFixed(1),
      `${(latency * 1e3).toFixed(2)} ms`,
      measuredAt,
    ]),
  );
}

/** Products, convolutions, what elementwise operators read and write, and what starting an operator costs. */
const RATES = ['GFLOP/S', 'CONV', 'GB/S', 'LAUNCH'];

function ratesOf({
  flops,
  convolutionFlops,
  memoryBandwidth,
  launchSeconds,
}: Pick<DeviceRecord, 'flops' | 'convolutionFlops' | 'memoryBandwidth' | 'launchSeconds'>): string[] {
  const giga = [flops, convolutionFlops, memoryBandwidth].map((rate) => (rate / 1e9).toFixed(1));
  return [...giga, `${(launchSeconds * 1e6).toFixed(1)} us`];
}
