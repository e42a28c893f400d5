import type { Draw, Trial } from './draw.js';
import { ACTIVATION_TRIALS } from './activation-trials.js';
import { ATTENTION_TRIALS } from './attention-trials.js';
import { EINSUM_TRIALS } from './einsum-trials.js';
import { LOSS_TRIALS } from './loss-trials.js';
import { MICROSOFT_TRIALS } from './microsoft-trials.js';
import { NORMALIZATION_TRIALS } from './normalization-trials.js';
import { MOVEMENT_TRIALS } from './movement-trials.js';
import { RESIZE_TRIALS } from './resize-trials.js';
import { TRIALS } from './trials.js';
import { WINDOW_TRIALS } from './window-trials.js';

/** Every family's trials but those of recurrent operators, of which gradients take smooth ones only. */
export const ALL_TRIALS: Readonly<Record<string, (draw: Draw) => Trial>> = {
  ...TRIALS,
  ...MOVEMENT_TRIALS,
  ...EINSUM_TRIALS,
  ...RESIZE_TRIALS,
  ...ACTIVATION_TRIALS,
  ...LOSS_TRIALS,
  ...MICROSOFT_TRIALS,
  ...NORMALIZATION_TRIALS,
  ...WINDOW_TRIALS,
  ...ATTENTION_TRIALS,
};
