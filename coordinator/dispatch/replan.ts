import { formatBytes, reportOf, type Bytes } from '../../base/index.js';
import type { Device, Plan, Replica } from '../../scheduler/index.js';
import type { Overrun } from '../job/index.js';

/** What is put into an account for what was measured beyond it. */
const BEYOND_ITEM = 'measured beyond the account';

/**
 * How many times what a plan counts beside the runtime was taken: at least 1, for what is measured when a run is
 * stopped is no more than what it would have come to.
 */
function timesOf({ measuredBytes, predictedBytes, runtimeBytes }: Overrun): number {
  const runtime = runtimeOf({ predictedBytes, runtimeBytes });
  return Math.max(1, (measuredBytes - runtime) / Math.max(1, predictedBytes - runtime));
}

/** A plan that counts no more than the runtime says nothing about what is beside it. */
function runtimeOf({
  predictedBytes,
  runtimeBytes,
}: Pick<Overrun, 'predictedBytes' | 'runtimeBytes'>): Bytes {
  return predictedBytes > runtimeBytes ? runtimeBytes : 0;
}

/** What may be counted for a device so that it keeps its budget if again so many times as much is taken. Pure. */
export function budgetAfter(overrun: Overrun, memoryBytes: Bytes): Bytes {
  const runtime = runtimeOf(overrun);
  if (memoryBytes <= runtime) return memoryBytes; // nothing fits there in any case
  return Math.floor(runtime + (memoryBytes - runtime) / timesOf(overrun));
}

/** What is to be expected of what an account comes to. Pure. */
export function expectedAfter(overrun: Overrun, predictedBytes: Bytes): Bytes {
  const runtime = runtimeOf(overrun);
  if (predictedBytes <= runtime) return predictedBytes;
  return Math.ceil(runtime + (predictedBytes - runtime) * timesOf(overrun));
}

/**
 * Plans a job again that went over a device's budget.
 *
 * What was measured on one device is taken to hold of all devices of its kind and engine: an account errs about a
 * model on an engine, not about a host, and a plan that moves the load to the device's twin would go over there. Where
 * no plan is left by that, only the device itself is counted so: one stage of a pipeline may err more than others.
 * @param ask the planner about devices, whose budgets are lowered
 * @returns a plan with the real budgets, and with what is to be expected of the devices that were counted so
 * @throws whatever `ask` throws the last time
 */
export async function planAgain(
  overrun: Overrun,
  devices: readonly Device[],
  ask: (devices: readonly Device[]) => Promise<Plan>,
): Promise<Plan> {
  const own = devices.find(({ id }) => id === overrun.device);
  // one that is gone does not tell its engine: then all are counted so
  const alike = own
    ? devices.filter((each) => each.kind === own.kind && each.engine === own.engine)
    : devices;
  const planWith = async (counted: readonly Device[]) => {
    const ids = new Set(counted.map(({ id }) => id));
    const lowered = devices.map((device) =>
      ids.has(device.id) ? { ...device, memoryBytes: budgetAfter(overrun, device.memoryBytes) } : device,
    );
    return expected(await ask(lowered), overrun, ids, devices);
  };
  try {
    return await planWith(alike);
  } catch (error) {
    if (!own || alike.length === 1 || reportOf(error).family !== 'user') throw error;
    return planWith([own]);
  }
}

/** A plan with real budgets, and with what is to be expected of the devices `ids`. */
function expected(plan: Plan, overrun: Overrun, ids: ReadonlySet<string>, devices: readonly Device[]): Plan {
  const budgets = new Map(devices.map(({ id, memoryBytes }) => [id, memoryBytes]));
  const replicaOf = (replica: Replica): Replica => {
    const budgetBytes = budgets.get(replica.device) ?? replica.budgetBytes;
    if (!ids.has(replica.device)) return { ...replica, budgetBytes };
    const predictedPeakBytes = expectedAfter(overrun, replica.predictedPeakBytes);
    const beyond = { what: BEYOND_ITEM, bytes: predictedPeakBytes - replica.predictedPeakBytes };
    return { ...replica, budgetBytes, predictedPeakBytes, account: [...replica.account, beyond] };
  };
  const { device, measuredBytes, predictedBytes } = overrun;
  const own = devices.find(({ id }) => id === device);
  const counted = own
    ? `: ${formatBytes(budgetAfter(overrun, own.memoryBytes))} may be counted of its ${formatBytes(own.memoryBytes)}`
    : '';
  const alike = ids.size > 1 ? ', and likewise on devices of its kind' : '';
  return {
    ...plan,
    stages: plan.stages.map((stage) => ({ ...stage, replicas: stage.replicas.map(replicaOf) })),
    explanation: [
      `planned again: ${device} took ${formatBytes(measuredBytes)} where ${formatBytes(predictedBytes)} were counted, ` +
        `${timesOf(overrun).toFixed(2)} times as much beside the runtime${counted}${alike}`,
      ...plan.explanation,
    ],
  };
}
