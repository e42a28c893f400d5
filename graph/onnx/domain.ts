import type { OperatorRegistry } from '../operators/index.js';
import { modelError, type Place } from './fail.js';

/** What to do about a foreign operator, by where it comes from. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /^ai\.onnx\.ml$/,
    'it belongs to classical models, encoders and scalers, which have no gradients: export the network alone, and prepare the data before',
  ],
  [
    /aten/i,
    'PyTorch wrote it because its exporter knew no ONNX operator: export with torch.onnx.export(..., dynamo=True), or without operator_export_type',
  ],
  [
    /^(com\.microsoft|com\.ms)/,
    "onnxruntime's optimizer wrote it: submit the model as the exporter wrote it, before that optimization (Optimum: without optimize)",
  ],
];

const CUSTOM =
  "a custom operator: define it in a module of the job's operators (docs/own-operators.md), or export it as a function of ONNX operators inside the model";

/**
 * Makes sure that dtrain knows an operator of a foreign domain. What it does not know of ai.onnx is found when the
 * graph is bound, all of it at once.
 * @param domain as the IR writes it
 * @throws ModelError naming the node, and what to export instead
 */
export function checkDomain(operator: string, domain: string, operators: OperatorRegistry, at: Place): void {
  if (domain === '' || operators.find({ operator, domain })) return;
  const advice = ADVICE.find(([pattern]) => pattern.test(domain))?.[1] ?? CUSTOM;
  throw modelError(
    at,
    `node "${at.node ?? ''}" is ${domain}.${operator}, which dtrain does not know; ${advice}`,
  );
}
