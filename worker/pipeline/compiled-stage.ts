import type { StageGraphs, TensorType } from '../../graph/index.js';
import type { FeedNames, Mask } from '../run/feeder.js';
import type { Compiled } from '../run/programs.js';
import type { StepStatistics } from '../statistics/index.js';
import type { PhaseSource, StageSource, StageStep } from './stage-step.js';

/** A stage's programs for a number of samples, and what goes in and out. */
export interface CompiledStage {
  readonly stage: number;
  readonly step: StageStep;
  readonly source: StageSource;
  /** Values that the stage takes from the data; undefined where it takes none. */
  readonly data: FeedNames | undefined;
  readonly masks: readonly Mask[];
  /** Whether gradients start here: LOSS_SCALE is in the batch. */
  readonly scaled: boolean;
  readonly statistics: StepStatistics;
  /** Whether its forward program is all of its work, backward pass included. */
  readonly fused: boolean;
  /** In the batch, of the last stage: the mean loss, and in an evaluation the model's output. */
  readonly loss: string | undefined;
  readonly output: string | undefined;
  /** On which axis an edge's value has the samples; undefined where it is the same for all. @throws StageError */
  readonly axisOf: (value: string) => number | undefined;
}

/** The stages of a pipeline rank, compiled for a number of samples, by number of the stage. */
export interface CompiledStages extends Compiled {
  readonly samples: number;
  readonly stages: ReadonlyMap<number, CompiledStage>;
}

/** What a stage is compiled from. */
export interface StageDescription {
  readonly phases: readonly PhaseSource[];
  readonly edges: Pick<StageSource, 'receives' | 'sends' | 'receivesGradients' | 'sendsGradients'>;
  /** Outputs that stay in the batch. */
  readonly results: readonly string[];
  readonly kept: StageSource['kept'];
  readonly gradients: ReadonlyMap<string, string>;
  readonly masks: readonly Mask[];
  readonly target: { readonly name: string; readonly type: TensorType };
  readonly statistics: StageGraphs['statistics'];
  readonly fused: boolean;
  readonly loss: string | undefined;
  readonly output: string | undefined;
  readonly axisOf: (value: string) => number | undefined;
}
