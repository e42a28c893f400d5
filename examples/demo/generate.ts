import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Random } from '../../base/index.js';

export interface GenerateOptions {
  /** The characters in the order of their token ids. */
  readonly vocabulary: readonly string[];
  /** Tokens that the model takes at once. */
  readonly context: number;
  readonly prompt: string;
  readonly length: number;
  /** Below 1 the likelier characters are drawn more often than the model says. */
  readonly temperature: number;
  readonly seed: number;
}

/**
 * Lets a trained language model continue `prompt`, one character at a time, with plain onnxruntime: nothing of
 * dtrain is needed to use what it trained.
 *
 * The model takes token ids [1, context] and gives logits [1, context, vocabulary].
 */
export async function generate(model: string, options: GenerateOptions): Promise<string> {
  const { vocabulary, context, prompt, length, temperature, seed } = options;
  const session = await InferenceSession.create(model, { logSeverityLevel: 3 });
  const [input, output] = [session.inputNames[0]!, session.outputNames[0]!];
  const random = new Random(seed);
  const tokens = Array.from(prompt, (character) => vocabulary.indexOf(character)).filter((id) => id >= 0);
  for (let i = 0; i < length; i++) {
    // shorter than the window: what stands behind the last token does not reach it, attention looks back only
    const window = tokens.slice(-context);
    const ids = BigInt64Array.from({ length: context }, (_, at) => BigInt(window[at] ?? 0));
    const result = await session.run({ [input]: new Tensor('int64', ids, [1, context]) });
    const logits = result[output]!.data as Float32Array;
    const start = (window.length - 1) * vocabulary.length;
    tokens.push(draw(logits.subarray(start, start + vocabulary.length), temperature, random));
  }
  await session.release();
  return tokens.map((id) => vocabulary[id]).join('');
}

/** An index, drawn with the probability softmax(logits / temperature). */
function draw(logits: Float32Array, temperature: number, random: Random): number {
  const highest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
  let left = random.uniform() * weights.reduce((a, b) => a + b, 0);
  const index = weights.findIndex((weight) => (left -= weight) < 0);
  return index < 0 ? weights.length - 1 : index;
}
