import type { Command } from 'commander';
import { formatBytes } from '../../base/index.js';
import type { DevicePage, DeviceRecord, LinkRecord } from '../../protocol/index.js';
import type { HostDevice, UnavailableDevice } from '../../worker/index.js';
import { InterruptedError } from '../errors.js';
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
      const { listDevices } = await import('../../worker/index.js');
      session.terminal.note(`no coordinator at ${client.url}: looking for the devices of this host`);
      const trying = (what: string) =>
        session.terminal.note(session.terminal.noteColors.dim(`trying ${what}`));
      const { devices, unavailable } = await listDevices(trying, session.interrupt).catch(
        (error: unknown) => {
          throw session.interrupt.aborted ? new InterruptedError() : error;
        },
      );
      const answer = {
        coordinator: null,
        devices: devices.map((device) => ({
          ...withBandwidth(device),
          engines: device.engines.map(withBandwidth),
        })),
        unavailable,
      };
      session.terminal.answer(answer, () => ofThisHost(devices, unavailable));
    });
}

/** Under the names that every listing uses. */
function withBandwidth<T extends { readonly memoryBandwidthBytesPerSecond: number }>({
  memoryBandwidthBytesPerSecond: memoryBandwidth,
  ...device
}: T) {
  return { ...device, memoryBandwidth };
}

function ofThisHost(devices: readonly HostDevice[], unavailable: readonly UnavailableDevice[]): string {
  const rows = devices.flatMap((device) =>
    device.engines.map(({ engine, ...rates }, i) => [
      i === 0 ? device.id : '',
      engine,
      String(device.threads),
      `${formatBytes(device.memoryBytes)}${device.ownMemory ? ' own' : ''}`,
      ...ratesOf(withBandwidth(rates)),
      i === 0 ? device.description : '',
    ]),
  );
  const all = table(['DEVICE', 'ENGINE', 'THREADS', 'MEMORY', ...RATES, 'WHAT IT IS'], rows);
  const lines = unavailable.map(({ id, engine, reason, advice }) => {
    return `  ${id}${engine === undefined ? '' : ` with ${engine}`}: ${reason}; ${advice}`;
  });
  return lines.length === 0 ? all : [all, '', 'tried, and not to be had:', ...lines].join('\n');
}

function joined({ devices, links }: DevicePage): string {
  if (devices.length === 0) return 'no device has joined; start one with: dtrain worker';
  const all = table(
    ['DEVICE', 'STATE', 'ENGINE', 'THREADS', 'BUDGET', ...RATES, 'SPEED', 'JOB', 'WHAT IT IS'],
    devices.map((device) => [
      device.id,
      device.state,
      device.engine,
      String(device.threads),
      formatBytes(device.memoryBytes),
      ...ratesOf(device),
      device.speed === 1 ? 'full' : `${Math.round(100 * device.speed)} %`,
      device.job ?? '-',
      device.description ?? '',
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
