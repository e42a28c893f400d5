import type { ErrorReport } from '../../base/index.js';
import type { JobSpec } from '../../protocol/index.js';
import type { Plan, PlanRequest } from '../../scheduler/index.js';
import type { Inspection } from './inspect.js';

/** A question to the planner; the thread has the clock. */
export type PlanQuestion = Omit<PlanRequest, 'now'>;

/** What the coordinator's thread and its preparation thread say to each other. */
export type PrepareTask =
  | { readonly kind: 'inspect'; readonly job: JobSpec; readonly paths: ReadonlyMap<string, string> }
  | { readonly kind: 'plan'; readonly question: PlanQuestion }
  | { readonly kind: 'merge'; readonly parts: readonly string[]; readonly to: string }
  | { readonly kind: 'export'; readonly model: string; readonly weights: string; readonly to: string };

export interface PrepareRequest {
  readonly id: number;
  readonly task: PrepareTask;
}

export type PrepareAnswer =
  | { readonly id: number; readonly kind: 'inspected'; readonly inspection: Inspection }
  | { readonly id: number; readonly kind: 'planned'; readonly plan: Plan }
  | { readonly id: number; readonly kind: 'merged' }
  | { readonly id: number; readonly kind: 'exported' }
  | { readonly id: number; readonly kind: 'failed'; readonly error: ErrorReport };
