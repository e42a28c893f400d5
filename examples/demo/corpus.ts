import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hash32, keyOf } from '../../base/index.js';

/** English text for a language model, its parts in a fixed order. */
export interface Corpus {
  readonly files: number;
  readonly train: string;
  readonly validation: string;
}

const NAMES = /^(readme|licen[sc]e)(\.(md|markdown|txt))?$/i;
const LEAST_LETTERS = 0.85;
const SHORTEST_PARAGRAPH = 60;

/**
 * Collects the paragraphs of prose from the READMEs and licences under `folder`, each different one once (most
 * licences say the same), in the order of the files' paths, until there are `limit` characters. One paragraph in ten
 * goes to the validation part. Only printable ASCII is kept, so that both parts have one alphabet.
 */
export function buildCorpus(folder: string, limit: number): Corpus {
  const files = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((path) => NAMES.test(path.slice(path.lastIndexOf('/') + 1)))
    .sort((a, b) => (a < b ? -1 : 1));
  const seen = new Set<string>();
  const train: string[] = [];
  const validation: string[] = [];
  let length = 0;
  for (const file of files) {
    for (const paragraph of paragraphsOf(join(folder, file))) {
      if (seen.has(paragraph) || length >= limit) continue;
      seen.add(paragraph);
      length += paragraph.length + 2;
      const chosen = hash32(keyOf(paragraph), 0) % 10 === 0 ? validation : train;
      chosen.push(paragraph);
    }
  }
  const text = (parts: readonly string[]): string => `${parts.join('\n\n')}\n`;
  const known = new Set(text(train));
  return {
    files: files.length,
    train: text(train),
    validation: Array.from(text(validation), (character) => (known.has(character) ? character : '')).join(''),
  };
}

function paragraphsOf(path: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return []; // a folder of that name, or not ours to read
  }
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/```[\s\S]*?```/g, '\n')
    .split(/\n\s*\n/)
    .map((part) =>
      part
        .replace(/\s+/g, ' ')
        .replace(/[^ -~]/g, '')
        .trim(),
    )
    .filter(isProse);
}

/** Sentences, rather than headings, tables, badges, lists of names or code. */
function isProse(paragraph: string): boolean {
  const letters = paragraph.replace(/[^A-Za-z ]/g, '').length;
  return (
    paragraph.length >= SHORTEST_PARAGRAPH &&
    letters >= LEAST_LETTERS * paragraph.length &&
    !/^[#|<>[!*-]|https?:|\]\(/.test(paragraph)
  );
}
