import type { Command } from 'commander';
import { InvariantError } from '../../base/index.js';
import { forcedBy, type DeviceRecord, type LinkRecord } from '../../protocol/index.js';
import {
  levelDevices,
  topologyOf,
  type Device,
  type DeviceKind,
  type MeasuredLink,
  type Topology,
} from '../../scheduler/index.js';
import { clientFor, type Session } from '../session.js';
import { prepareJob, type Artifact } from '../submit/artifacts.js';
import { readClusterFile } from '../submit/cluster-file.js';
import { readJobFile } from '../submit/job-file.js';
import { modelBytes } from '../submit/model.js';
import { parseOverride } from '../submit/overrides.js';
import { planText } from '../submit/plan-text.js';
import { timelineDrawer } from '../submit/timeline.js';
import { examples, OVERRIDES, repeatable, withCoordinator, withJson } from './options.js';

interface Options {
  readonly coordinator?: string;
  readonly cluster?: string;
  readonly set: readonly string[];
  readonly timeline?: string | boolean;
}

/** `dtrain plan JOB.yaml`: who would train what, without running anything. */
export function registerPlan(program: Command, session: Session): void {
  const command = program
    .command('plan')
    .description('plan a job without running it: stages, devices, memory, time')
    .argument('<job-file>', 'YAML or JSON; its paths are relative to it')
    .option('--cluster <file>', 'plan for the devices of a cluster file, not for those that have joined')
    .addOption(repeatable('--set <key=value>', OVERRIDES))
    .option('--timeline [file]', 'draw the step: as text, or into FILE.svg or FILE.json (a Chrome trace)');
  withJson(withCoordinator(command))
    .addHelpText(
      'after',
      examples(
        'dtrain plan job.yaml',
        'dtrain plan job.yaml --cluster cluster.yaml --json | jq .stages',
        'dtrain plan job.yaml --cluster cluster.yaml --timeline step.svg',
        'dtrain plan job.yaml --cluster cluster.yaml --set batch=256 --set parallelism.pipeline=2',
      ),
    )
    .action(async (file: string, options: Options) => {
      const draw = timelineDrawer(session, options.timeline);
      const job = await readJobFile(file, session.cwd, options.set.map(parseOverride));
      const cluster =
        options.cluster === undefined
          ? await joined(session, options)
          : await readClusterFile(options.cluster, session.cwd);
      const model = await modelBytes(job, session.cwd);
      const { spec, artifacts } = await prepareJob(job, model, session.cwd);
      const { planInputOf } = await import('../../coordinator/index.js');
      const { makePlan } = await import('../../scheduler/index.js');
      const input = await planInputOf(spec, model, pathsOf(artifacts));
      const plan = makePlan({
        ...input,
        batch: spec.batch,
        ...cluster,
        parallelism: forcedBy(spec.parallelism),
        timeLimitSeconds: 30,
        now: () => performance.now() / 1000,
      });
      session.terminal.answer(plan, () => planText(plan));
      await draw(plan);
    });
}

/** The devices that have joined the coordinator, as that would plan with them. */
async function joined(
  session: Session,
  options: Options,
): Promise<{ readonly devices: readonly Device[]; readonly topology: Topology }> {
  const { devices, links } = await clientFor(session, options.coordinator).devices();
  const usable = devices.filter(({ state }) => state !== 'lost');
  return { devices: levelDevices(usable.map(deviceOf)), topology: topologyOf(links.map(linkOf)) };
}

function linkOf({ between, bandwidth, latency }: LinkRecord): MeasuredLink {
  const [a = '', b = ''] = between;
  return { between: [a, b], bandwidthBytesPerSecond: bandwidth, latencySeconds: latency };
}

function deviceOf(record: DeviceRecord): Device {
  const { id, host, kind, memoryBytes, flops, convolutionFlops, memoryBandwidth, launchSeconds } = record;
  const rates = { flops, convolutionFlops, memoryBandwidthBytesPerSecond: memoryBandwidth, launchSeconds };
  const { engine, operators, maxBufferBytes, ownMemory } = record;
  return {
    ...{ id, host, kind: kind as DeviceKind, engine, memoryBytes, ...rates },
    ...(operators && { operators }),
    ...(maxBufferBytes !== undefined && { maxBufferBytes }),
    ...(ownMemory !== undefined && { ownMemory }),
  };
}

function pathsOf(artifacts: readonly Artifact[]) {
  const byHash = new Map(artifacts.map((artifact) => [artifact.sha256, artifact]));
  return (hash: string) => {
    const found = byHash.get(hash);
    if (!found || !('path' in found.upload))
      throw new InvariantError(`no file with the hash ${hash} was prepared`);
    return { path: found.upload.path, name: found.label };
  };
}
