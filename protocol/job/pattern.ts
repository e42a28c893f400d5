import { Type } from '@sinclair/typebox';

/** Names of parameters, with wildcards. */
export const PatternsSchema = Type.Union(
  [Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })],
  { description: 'a pattern of parameter names such as encoder.*, or a list of them' },
);

/** One pattern or several, as a list. */
export function patternsIn(field: string | readonly string[]): readonly string[] {
  return typeof field === 'string' ? [field] : field;
}
