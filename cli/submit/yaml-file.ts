import { readFile } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { isNode, LineCounter, parseDocument, type Document } from 'yaml';
import { JobFileError } from '../errors.js';

/** A YAML or JSON file as read, with what it takes to say where something is in it. */
export interface YamlFile {
  readonly absolute: string;
  /** As people know it: relative to where they are. */
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

/** @throws JobFileError naming file and line where it cannot be read, or is not YAML */
export async function readYaml(path: string, cwd: string, wanted: string): Promise<YamlFile> {
  const absolute = resolve(cwd, path);
  const file = shorter(path, relative(cwd, absolute));
  const text = await readText(absolute, file, wanted);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const mistake = document.errors[0];
  if (mistake) {
    const { line, col } = lines.linePos(mistake.pos[0]);
    throw new JobFileError(
      `${file}:${line}:${col}: this is not YAML: ${mistake.message}`,
      { file, line, column: col },
      mistake,
    );
  }
  return { absolute, file, document, lines };
}

/** The line of a field, or of the nearest thing around it that has one. */
export function locate(document: Document, lines: LineCounter, file: string, field: string): string {
  const path = field === '' ? [] : field.split('.');
  for (let depth = path.length; depth > 0; depth--) {
    const parent: unknown = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const offset = keyOffset(parent, path[depth - 1]!);
    if (offset !== undefined) return `${file}:${lines.linePos(offset).line}`;
  }
  return file;
}

function keyOffset(parent: unknown, key: string): number | undefined {
  if (typeof parent !== 'object' || parent === null || !('items' in parent)) return undefined;
  const items = parent.items as readonly unknown[];
  for (const [index, item] of items.entries()) {
    if (isNode(item)) {
      if (String(index) === key) return item.range?.[0];
    } else if (typeof item === 'object' && item !== null && 'key' in item) {
      const name = item.key;
      if (isNode(name) && String(name.toJSON()) === key) return name.range?.[0];
    }
  }
  return undefined;
}

async function readText(absolute: string, file: string, wanted: string): Promise<string> {
  try {
    return await readFile(absolute, 'utf8');
  } catch (error) {
    throw new JobFileError(`${file}: ${reasonOf(error, wanted)}`, { file }, error);
  }
}

/** Why a file cannot be read, in words. */
export function reasonOf(error: unknown, wanted: string): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ENOENT') return `there is no such file; expected ${wanted}`;
  if (code === 'EISDIR') return `this is a folder; expected ${wanted}`;
  if (code === 'EACCES') return 'the file may not be read by this user';
  return error instanceof Error ? error.message : String(error);
}

function shorter(a: string, b: string): string {
  return b !== '' && b.length < a.length ? b : a;
}
