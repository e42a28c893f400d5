import { UserError, type DtrainError } from '../../base/index.js';
import type { JobSpec } from '../../protocol/index.js';
import { PlacementError, type Device, type Plan } from '../../scheduler/index.js';
import type { ModelFacts } from '../job/index.js';
import { planJob } from './planning.js';

/** What to do with a job whose turn it is. */
export type Decision =
  | { readonly kind: 'launch'; readonly plan: Plan }
  /** `blocks`: devices that are there will do once they are free, so nobody behind may take them. */
  | { readonly kind: 'wait'; readonly why: string; readonly blocks: boolean }
  | { readonly kind: 'refuse'; readonly error: DtrainError };

/**
 * Decides about a job that everybody before has let pass, by the first rule that fits; pure.
 *
 * 1. No device is there, or none is free: wait.
 * 2. It can be planned on the free devices: launch.
 * 3. It cannot, but could on all that have joined: wait for those that are busy.
 * 4. It asks for more devices than have joined: wait for more to join, and let others pass.
 * 5. It cannot be planned on all there is: refuse.
 */
export function decide(
  { job, model }: { readonly job: JobSpec; readonly model: ModelFacts },
  devices: { readonly all: readonly Device[]; readonly free: readonly Device[] },
): Decision {
  const { all, free } = devices;
  const wait = (why: string, blocks = true): Decision => ({ kind: 'wait', why, blocks });
  if (all.length === 0) return wait('no device has joined; start one with: dtrain worker');
  if (free.length === 0) return wait(`all devices are busy (${all.map((device) => device.id).join(', ')})`);
  try {
    return { kind: 'launch', plan: planJob(job, model, free) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const never = refusalOn(job, model, all);
    if (never instanceof PlacementError) return wait(never.message, false);
    if (never === undefined) return wait(`not enough devices are free: ${error.message}`);
    return { kind: 'refuse', error: never };
  }
}

function refusalOn(job: JobSpec, model: ModelFacts, devices: readonly Device[]): UserError | undefined {
  try {
    planJob(job, model, devices);
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}
