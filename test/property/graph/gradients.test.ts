import fc from 'fast-check';
import t from 'tap';
import { differentiability } from '../../../graph/gradient/index.js';
import { isFloat, standardOperators, toReference, type Tensor } from '../../../graph/index.js';
import { gradientError, type Case, type Operand } from '../gradient/check.js';
import { ALL_TRIALS } from './all-trials.js';
import { Draw, keyOf, type Trial } from './draw.js';
import { SMOOTH_RECURRENT_TRIALS } from './recurrent-trials.js';
import { isTried, runsOf } from '../trial-runs.js';

const RUNS = runsOf(8);
const TOLERANCE = 1e-5;
const trials = { ...ALL_TRIALS, ...SMOOTH_RECURRENT_TRIALS };

/** Operands whose type is float32 whatever the type of the data. */
const ALWAYS_FLOAT32: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2] };

/**
 * Operands and outputs that take no part: the running statistics of BatchNormalization are state, which PyTorch
 * updates outside of the graph and differentiates nothing by. (LayerNormalization's saved statistics are float32,
 * hence no part of a check in float64.)
 */
const STATE: Readonly<
  Record<string, { readonly inputs: readonly number[]; readonly outputs: readonly number[] }>
> = {
  BatchNormalization: { inputs: [3, 4], outputs: [1, 2] },
};

/** A trial in float64, so that differences tell slopes. */
function inFloat64(operator: string, domain: string, trial: Trial): Case {
  const operands = trial.inputs.map((tensor, i): Operand | undefined => {
    if (!tensor) return undefined;
    const { shape } = tensor;
    const dtype = ALWAYS_FLOAT32[operator]?.includes(i) || !isFloat(tensor.dtype) ? tensor.dtype : 'float64';
    const constant = [...(trial.known ?? []), ...(STATE[operator]?.inputs ?? [])].includes(i);
    return { shape, dtype, values: valuesOf(tensor), constant };
  });
  const { attributes = {}, outputs = 1 } = trial;
  return { operator, domain, operands, attributes, outputs, exempt: STATE[operator]?.outputs ?? [] };
}

function valuesOf(tensor: Tensor): number[] {
  return [...toReference(tensor).data];
}

for (const { operator, domain } of standardOperators.all()) {
  const make = trials[keyOf({ operator, domain })];
  const known = differentiability({ operator, domain, attributes: {}, name: '', inputs: [], outputs: [''] });
  // its mask is drawn when a training graph is built
  if (operator === 'Dropout') continue;
  if (!make || !known || !isTried(keyOf({ operator, domain }))) continue;
  t.test(`${keyOf({ operator, domain })} has the gradient that differences show`, async () => {
    fc.assert(
      fc.property(
        fc.nat(),
        (seed) => gradientError(inFloat64(operator, domain, make(new Draw(seed)))) < TOLERANCE,
      ),
      { numRuns: RUNS },
    );
  });
}
