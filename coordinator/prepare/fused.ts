import {
  buildTrainingGraph,
  cutIntoSegments,
  gradientOrder,
  peakActivationBytes,
  type Graph,
  type Segments,
} from '../../graph/index.js';
import { type JobSpec, shapesOf, type SampleShapes } from '../../protocol/index.js';
import { DEFAULT_BUCKET_BYTES, layoutBuckets, lineThrough, type FusedBytes } from '../../scheduler/index.js';

/** A batch of one may vanish from the shapes. */
const FEWEST_SAMPLES = 2;

/**
 * What the step of the whole model holds, read off its training graph, cut into segments as the ranks cut it, for
 * half of the batch and all of it, with a line through both.
 * @param trained parameters that are differentiated by
 * @throws what buildTrainingGraph throws
 */
export function fusedBytes(
  graph: Graph,
  shapes: SampleShapes,
  { loss, batch, communication }: Pick<JobSpec, 'loss' | 'batch' | 'communication'>,
  trained: readonly string[],
): FusedBytes {
  const bucketBytes = communication?.bucketBytes ?? DEFAULT_BUCKET_BYTES;
  const measured = (samples: number) => {
    const training = buildTrainingGraph(graph, { loss, ...shapesOf(shapes, samples), parameters: trained });
    const parameters = gradientOrder(training).map((name) => ({
      name,
      type: training.graph.parameters.get(name)!,
    }));
    const buckets = layoutBuckets(parameters, bucketBytes);
    const cut = cutIntoSegments(
      training,
      buckets.map((bucket) => bucket.places.map(({ name }) => name)),
    );
    return { samples, cut };
  };
  const large = Math.max(2 * FEWEST_SAMPLES, batch);
  const small = Math.max(FEWEST_SAMPLES, Math.floor(large / 2));
  const both = [measured(small), measured(large)] as const;
  const line = (of: (cut: Segments) => number) => {
    const [a, b] = both.map(({ samples, cut }) => ({ samples, value: of(cut) }));
    return lineThrough(a!, b!);
  };
  return {
    activationBytes: line(({ segments }) =>
      segments.reduce((sum, segment) => sum + peakActivationBytes(segment), 0),
    ),
    crossingBytes: line(({ crossingBytes }) => crossingBytes),
  };
}
