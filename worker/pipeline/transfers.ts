import { Transfer, type Streams } from './transfer.js';
import type { CompiledStage } from './compiled-stage.js';
import type { BufferName, StageSource } from './stage-step.js';

/** The edges of a stage as they move, for one number of samples. */
export interface Transfers {
  readonly received: Transfer;
  readonly sent: Transfer;
  readonly receivedGradients: Transfer;
  readonly sentGradients: Transfer;
}

/** @param purpose tells the messages of training from those of evaluation */
export function transfersOf(
  { stage, step, source, axisOf }: CompiledStage,
  streams: Streams,
  purpose: 'training' | 'evaluation',
): Transfers {
  const transfer = (name: BufferName, edges: StageSource['receives'], channel: string) =>
    new Transfer(
      {
        channel: `${purpose} ${channel}`,
        values: edges,
        layout: step.layouts.get(name)!,
        axisOf,
        samples: step.samples,
      },
      streams,
    );
  return {
    received: transfer('received', source.receives, `${stage - 1}>${stage}`),
    sent: transfer('sent', source.sends, `${stage}>${stage + 1}`),
    receivedGradients: transfer('receivedGradients', source.receivesGradients, `${stage + 1}>${stage}`),
    sentGradients: transfer('sentGradients', source.sendsGradients, `${stage}>${stage - 1}`),
  };
}
