import { transformerBlock } from './attention.js';
import { checkCount, embedding, layerNorm, linear, positions } from './dense.js';
import { dropout } from './functions.js';
import { normal } from './initial.js';
import { sequential } from './layer.js';
import { ids, model, type Model } from './model.js';

export interface GptOptions {
  /** How many tokens there are. */
  readonly vocabulary: number;
  /** Tokens that the model looks at. */
  readonly context: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  readonly dropout?: number;
  readonly seed?: number;
  readonly name?: string;
}

/**
 * A decoder-only transformer (GPT-2's architecture): int64 ids [batch, context] to logits
 * [batch, context, vocabulary]; each place predicts the token after it.
 *
 * First values are GPT-2's: normal with deviation 0.02, smaller by sqrt(2 * layers) where a residual is fed
 * (Radford et al., 2019).
 */
export function gpt(options: GptOptions): Model {
  const { vocabulary, context, width, heads, layers, dropout: ratio = 0, seed = 0, name = 'gpt' } = options;
  checkCount('gpt', 'layers', layers);
  checkCount('gpt', 'context', context);
  const initial = normal(0.02);
  const initialOut = normal(0.02 / Math.sqrt(2 * layers));
  const block = () => transformerBlock({ heads, dropout: ratio, initial, initialOut });
  return model({
    name,
    seed,
    inputs: { input: ids(context) },
    modules: {
      tokens: embedding(vocabulary, width, { initial }),
      positions: positions({ initial }),
      drop: dropout(ratio),
      blocks: sequential(...Array.from({ length: layers }, block)),
      norm: layerNorm(),
      head: linear(vocabulary, { bias: false, initial }),
    },
    forward: ({ input }, m) => m.head(m.norm(m.blocks(m.drop(m.positions(m.tokens(input)))))),
  });
}
