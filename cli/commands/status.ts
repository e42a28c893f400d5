import type { Command } from 'commander';
import { formatBytes, formatSeconds } from '../../base/index.js';
import type { JobPerformance, JobRecord } from '../../protocol/index.js';
import { clientFor, type Session } from '../session.js';
import { table } from '../terminal/table.js';
import { examples, withCoordinator, withJson } from './options.js';

/** `dtrain status ID`: one job. */
export function registerStatus(program: Command, session: Session): void {
  const command = program.command('status').description('show one job').argument('<id>', 'the job');
  withJson(withCoordinator(command))
    .addHelpText('after', examples('dtrain status job_k3v9x1a2m4q7', 'dtrain status job_k3v9x1a2m4q7 --json'))
    .action(async (id: string, options: { coordinator?: string }) => {
      const job = await clientFor(session, options.coordinator).job(id);
      session.terminal.answer(job, () => describeJob(job));
    });
}

/** A job in a few lines. */
export function describeJob(job: JobRecord): string {
  const lines: [string, string | undefined][] = [
    ['job', `${job.id} (${job.name})`],
    ['state', job.state],
    ['step', job.totalSteps === null ? undefined : `${job.step} of ${job.totalSteps}`],
    ['loss', job.loss?.toFixed(4)],
    ['validation', validationOf(job)],
    ['speed', job.samplesPerSecond === null ? undefined : `${job.samplesPerSecond.toFixed(1)} samples/s`],
    [
      'time left',
      job.etaSeconds === null || job.endedAt !== null ? undefined : formatSeconds(job.etaSeconds),
    ],
    ['devices', job.devices.length === 0 ? undefined : job.devices.join(', ')],
    ['output', `${job.output.directory}${job.output.delivered ? '' : ' (on the coordinator’s host)'}`],
    ['created', job.createdAt],
    ['started', job.startedAt ?? undefined],
    ['ended', job.endedAt ?? undefined],
    ['error', job.error === null ? undefined : `[${job.error.code}] ${job.error.message}`],
    ['replanned', job.replanned ? `at ${job.replanned.at}: ${job.replanned.message}` : undefined],
    ...job.explanation.map((line, i): [string, string] => [i === 0 ? 'plan' : '', line]),
  ];
  const facts = lines.flatMap(([label, text]) => (text === undefined ? [] : [`${label.padEnd(11)}${text}`]));
  return [...facts, ...(job.performance ? ['', performanceText(job.performance)] : [])].join('\n');
}

/** What was predicted of each device and, once it is known, what was measured. */
function performanceText({ predictedStepSeconds, measuredStepSeconds, devices }: JobPerformance): string {
  const beside = (predicted: string, measured: number | null, format: (value: number) => string) =>
    measured === null ? predicted : `${predicted} / ${format(measured)}`;
  const step = (measured: number | null) =>
    beside(formatSeconds(predictedStepSeconds), measured, formatSeconds);
  const rows = devices.map((device) => [
    device.device,
    device.stages.join(', '),
    String(device.samplesPerStep),
    `${beside(formatBytes(device.predictedPeakBytes), device.measuredPeakBytes, formatBytes)} of ${formatBytes(device.budgetBytes)}`,
    beside(formatSeconds(device.predictedBusySeconds), device.measuredBusySeconds, formatSeconds),
    step(device.measuredStepSeconds),
  ]);
  const what = measuredStepSeconds === null ? 'predicted' : 'predicted / measured';
  return [
    `${what}: ${step(measuredStepSeconds)} a step`,
    table(['DEVICE', 'STAGES', 'SAMPLES', 'PEAK MEMORY', 'BUSY', 'STEP'], rows),
  ].join('\n');
}

function validationOf({ validationLoss: loss, validationAccuracy: accuracy }: JobRecord): string | undefined {
  if (loss === null) return undefined;
  return `loss ${loss.toFixed(4)}${accuracy === null ? '' : `, accuracy ${(100 * accuracy).toFixed(2)} %`}`;
}
