import { differentiability } from '../gradient/index.js';
import { attribute } from '../ir/graph.js';
import { standardOperators, type OperatorDefinition } from '../operators/index.js';
import { opsetsOf } from './opsets.js';

const HEAD = `# Operators

<!-- Generated from the operator and rule registries: run \`make docs\` after a change there. -->

Models of opsets 7 to 26 are read into one form, that of opset 21. A model with an operator that is not in this table, or
with one without a gradient on the way from a parameter to the loss, is refused at submit, all such nodes named.

- **rule**: the operator has a rule that writes its gradient in standard operators. At ties and kinks it does what
  PyTorch does.
- **written out**: the operator is replaced by smaller ones, which have rules, before the model is differentiated; no engine
  needs a kernel for it.
- **stops**: the result does not depend smoothly on the inputs. The gradient is zero and ends there, as in PyTorch.
- **none**: the operator may stand where no parameter depends on its result (preparing inputs, for instance).

Each engine that is named runs the operator in a training step ([engines.md](engines.md)); \`reference\` is the float64
evaluator that the others are checked against. \`Dropout\` becomes a product with a mask, and \`BatchNormalization\` is
trained with the statistics of each device's share ([job-file.md](job-file.md) has the choice). \`If\`, \`Loop\` and
\`Scan\` are unrolled where their condition or length is known once shapes are bound; functions of the model are inlined.
Older names are read as today's: \`Upsample\` as \`Resize\`, \`Scatter\` as \`ScatterElements\`.

| operator | opsets | gradient | engines |
|---|---|---|---|
`;

/**
 * docs/operators.md: what is known of every operator, sorted by domain and name.
 * @param gpujs operators that engine gpujs has kernels for, `domain:Name` for other domains than ai.onnx
 */
export function operatorsDocument(gpujs: readonly string[]): string {
  const others = new Set(gpujs);
  const rows = [...standardOperators.all()]
    .sort((a, b) => compare(a.domain, b.domain) || compare(a.operator, b.operator))
    .map((definition) => row(definition, others));
  return `${HEAD}${rows.join('\n')}\n`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function row({ operator, domain }: OperatorDefinition, gpujs: ReadonlySet<string>): string {
  const name = domain === '' ? operator : `${domain}.${operator}`;
  const gradient = gradientOf(operator, domain);
  const everywhere = gpujs.has(domain === '' ? operator : `${domain}:${operator}`);
  const own = everywhere ? 'onnxruntime, gpujs, reference' : 'onnxruntime, reference';
  const engines = gradient === 'written out' ? 'those of its parts' : own;
  return `| \`${name}\` | ${domain === '' ? opsetsOf(operator) : '1'} | ${gradient} | ${engines} |`;
}

function gradientOf(operator: string, domain: string): string {
  const known = differentiability({
    operator,
    domain,
    name: operator,
    inputs: [],
    outputs: [''],
    // a Cast has a gradient where it casts to a float
    attributes: { to: attribute.int(1) },
  });
  switch (known?.kind) {
    case 'rule':
      return 'rule';
    case 'decomposed':
      return 'written out';
    case 'stop':
      return 'stops';
    case undefined:
      return 'none';
  }
}
