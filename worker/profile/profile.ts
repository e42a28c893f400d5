import type { Seconds } from '../../base/index.js';
import {
  buildStages,
  buildTrainingGraph,
  cutIntoSegments,
  gradientOrder,
  type Graph,
  type TypedGraph,
} from '../../graph/index.js';
import { frozenParameters, type ModelProfile, type ProfileTask } from '../../protocol/index.js';
import { layoutBuckets } from '../../scheduler/index.js';
import type { ComputeThread } from '../engine/index.js';
import { timeProgram } from './stopwatch.js';

/** Runs of a part's program after the one that warms it up: as many as can be disturbed but for one. */
const PART_RUNS = 3;
/** Of the whole step, which more depends on. */
const WHOLE_RUNS = 7;

/**
 * Times the parts of a job's model on the device of a compute thread, as the stages of a run compute them: forward pass,
 * gradients of what came in, gradients of parameters, each a program; and the whole step as a plan of one stage runs
 * it. One program is there at a time. Values are made up; what operators take hardly depends on them.
 *
 * The whole comes first, then parts from the first on, until the task's seconds are over; what is being timed then is finished.
 * @param graph as the task's job has it trained
 * @param now seconds of a clock that never goes back
 * @param stopped nothing is begun any more
 * @throws StageError where the parts are none of the model; what compiling and running throw
 */
export async function profileModel(
  thread: ComputeThread,
  graph: Graph,
  task: ProfileTask,
  now: () => Seconds,
  stopped: () => boolean = () => false,
): Promise<ModelProfile> {
  const end = now() + task.seconds;
  const over = (by = end) => stopped() || now() >= by;
  const names = [...graph.parameters.keys()];
  const frozen = frozenParameters(task.frozen, names);
  const parameters = names.filter((name) => !frozen.has(name));
  const total = async (
    programs: readonly (TypedGraph | undefined)[],
    runs = PART_RUNS,
    by = end,
  ): Promise<Seconds> => {
    let sum = 0;
    for (const program of programs) {
      if (program) sum += await timeProgram(thread, program, runs, () => over(by));
    }
    return sum;
  };

  const { wholeSamples, samples } = task;
  const half = end - task.seconds / 2; // the other half is for the parts
  const step = () => wholeStep(graph, { ...options(task, wholeSamples), parameters }, task);
  const whole = wholeSamples > 0 ? await total(step(), WHOLE_RUNS, half) : null;
  const parts: ModelProfile['parts'] = [];
  if (!over()) {
    const shapes = options(task, samples);
    const stages = buildStages(graph, { ...shapes, parameters, stages: task.parts, splitBackward: true });
    for (const [part, { forward, backward }] of stages.entries()) {
      if (over()) break;
      const [input, weight] = backward;
      parts.push({
        part,
        forward: await total([forward]),
        backwardInput: await total([input]),
        backwardWeight: await total([weight]),
      });
    }
  }
  return { parts, whole };
}

function options({ loss, inputs, target }: ProfileTask, samples: number) {
  const shapes = Object.fromEntries(inputs.map(({ name, shape }) => [name, [samples, ...shape]]));
  return { loss, shapes, targetShape: [samples, ...target] };
}

/** Forward and backward pass in segments, cut where gradients leave, as a rank that has all of the model runs them. */
function wholeStep(
  graph: Graph,
  training: Parameters<typeof buildTrainingGraph>[1],
  { bucketBytes }: ProfileTask,
): readonly TypedGraph[] {
  const built = buildTrainingGraph(graph, training);
  const order = gradientOrder(built).map((name) => ({ name, type: graph.parameters.get(name)! }));
  const buckets = layoutBuckets(order, bucketBytes);
  return cutIntoSegments(
    built,
    buckets.map(({ places }) => places.map(({ name }) => name)),
  ).segments;
}
