import type { DtrainError } from '../../base/index.js';
import { asksForMore } from '../../protocol/index.js';
import type { Device, Plan } from '../../scheduler/index.js';

/** What to do with a job whose turn it is. */
export type Decision =
  | { readonly kind: 'launch'; readonly plan: Plan }
  /** Nothing is known yet of the job on these devices: plan it, then decide again. */
  | { readonly kind: 'plan'; readonly devices: readonly Device[] }
  /** `blocks`: devices that are there will do once they are free, so nobody behind may take them. */
  | { readonly kind: 'wait'; readonly why: string; readonly blocks: boolean }
  | { readonly kind: 'refuse'; readonly error: DtrainError };

/** What planning a job on some devices gave. */
export interface PlanAnswer {
  readonly devices: readonly Device[];
  readonly outcome: { readonly plan: Plan } | { readonly error: DtrainError };
}

export interface DevicesNow {
  readonly all: readonly Device[];
  readonly free: readonly Device[];
  /** One that the job is to wait for: it is being started anew. */
  readonly returning?: string | undefined;
}

/**
 * Decides about a job that everybody before has let pass, by the first rule that fits; pure.
 *
 * 1. No device is there, or none is free, or one is on its way back that the job was launched on before: wait.
 * 2. A plan of it is known whose devices are all free, and as they were when it was planned: launch.
 * 3. It was not planned on the free devices: plan it.
 * 4. That failed through no fault of the job: refuse.
 * 5. It was not planned on all that have joined: plan it on those, to know whether waiting helps.
 * 6. It fits on those: wait for the busy ones.
 * 7. It asks for more devices than have joined: wait for more to join, and let others pass.
 * 8. It cannot be planned on all there is: refuse.
 * @param answers of the job so far
 */
export function decide({ all, free, returning }: DevicesNow, answers: readonly PlanAnswer[]): Decision {
  const wait = (why: string, blocks = true): Decision => ({ kind: 'wait', why, blocks });
  if (all.length === 0) return wait('no device has joined; start one with: dtrain worker');
  if (free.length === 0) return wait(`all devices are busy (${all.map((device) => device.id).join(', ')})`);
  if (returning !== undefined) return wait(`${returning} is being started anew`);
  for (const { devices, outcome } of answers) {
    if ('plan' in outcome && stillThere(outcome.plan, devices, free)) {
      return { kind: 'launch', plan: outcome.plan };
    }
  }
  const now = outcomeOn(free, answers);
  if (!now) return { kind: 'plan', devices: free };
  if (now.family !== 'user') return { kind: 'refuse', error: now };
  const ever = outcomeOn(all, answers);
  if (!ever && !hasPlan(all, answers)) return { kind: 'plan', devices: all };
  if (!ever) return wait(`not enough devices are free: ${now.message}`);
  if (asksForMore(ever)) return wait(ever.message, false);
  return { kind: 'refuse', error: ever };
}

/** Why there is no plan for exactly these devices, if that is known. */
function outcomeOn(devices: readonly Device[], answers: readonly PlanAnswer[]): DtrainError | undefined {
  const outcome = answers.find((answer) => same(answer.devices, devices))?.outcome;
  return outcome && 'error' in outcome ? outcome.error : undefined;
}

function hasPlan(devices: readonly Device[], answers: readonly PlanAnswer[]): boolean {
  return answers.some(({ outcome, ...answer }) => 'plan' in outcome && same(answer.devices, devices));
}

/** Whether every device of a plan is among the free ones, unchanged since it was planned with. */
function stillThere(plan: Plan, planned: readonly Device[], free: readonly Device[]): boolean {
  const then = new Map(planned.map((device) => [device.id, device]));
  const now = new Map(free.map((device) => [device.id, device]));
  return plan.stages.every(({ replicas }) =>
    replicas.every(({ device: id }) => {
      const [before, after] = [then.get(id), now.get(id)];
      return before !== undefined && after !== undefined && same([before], [after]);
    }),
  );
}

/** The same devices with the same figures, whatever their order. */
function same(some: readonly Device[], others: readonly Device[]): boolean {
  const texts = (devices: readonly Device[]) => devices.map((device) => JSON.stringify(device)).sort();
  return some.length === others.length && texts(some).join() === texts(others).join();
}
