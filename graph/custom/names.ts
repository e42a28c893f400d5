import type { Node } from 'acorn';
import { KernelError, type Position } from './errors.js';

/** What a kernel may name, and where its messages point. */
export interface KernelText {
  /** The operator, for messages: `my.ops.Snake`. */
  readonly operator: string;
  /** `forward`, `gradient of x`. */
  readonly title: string;
  readonly source: string;
  /** Names that `this.constants` has. */
  readonly constants: ReadonlySet<string>;
  /** Those of them that are lengths of operands: at least 1 wherever a kernel runs. */
  readonly extents: ReadonlySet<string>;
  /** How many arrays it may take. */
  readonly arrays: number;
}

/** What a name of the kernel stands for. */
export type Named = { readonly kind: 'array'; readonly parameter: number } | Local;

interface Local {
  readonly kind: 'local';
  readonly slot: number;
  readonly how: 'let' | 'const' | 'counter';
  /** Whether its value depends neither on the arrays' elements nor on when it is looked at. */
  readonly still: boolean;
}

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;
/** The rest of JavaScript is not within reach, so that these could be locals; who reads them would be misled. */
const MISLEADING: ReadonlySet<string> = new Set([
  'Math',
  'eval',
  'arguments',
  'undefined',
  'NaN',
  'Infinity',
]);

/** The names in sight at a place of a kernel, and everything that reading it has found so far. */
export class Names {
  readonly locals: string[] = [];
  /** By slot. */
  readonly stills: boolean[] = [];
  readonly read = new Map<string, Position>();
  /** Loops around the place. */
  loops = 0;
  private readonly blocks: Map<string, Named>[] = [new Map<string, Named>()];
  private depth = 0;

  constructor(readonly text: KernelText) {}

  /** @throws KernelError for a name that is taken or cannot be one */
  declare(node: Node, name: string, named: Named): void {
    if (!NAME.test(name) || MISLEADING.has(name))
      this.fail(
        node,
        `"${name}" cannot be a name here; letters, digits and _ after a letter would be accepted`,
      );
    if (this.find(name)) this.fail(node, `"${name}" is declared already; another name would be accepted`);
    this.blocks.at(-1)!.set(name, named);
  }

  /** A new local. @returns its slot */
  local(node: Node, name: string, how: Local['how'], still: boolean): number {
    const slot = this.locals.length;
    this.declare(node, name, { kind: 'local', slot, how, still });
    this.locals.push(name);
    this.stills.push(still);
    return slot;
  }

  find(name: string): Named | undefined {
    return this.blocks.findLast((block) => block.has(name))?.get(name);
  }

  /** Reads a block: names declared in it end with it. */
  within<T>(node: Node, read: () => T): T {
    this.deeper(node);
    this.blocks.push(new Map<string, Named>());
    try {
      return read();
    } finally {
      this.blocks.pop();
      this.depth--;
    }
  }

  /** Reads a part of an expression. */
  nested<T>(node: Node, read: () => T): T {
    this.deeper(node);
    try {
      return read();
    } finally {
      this.depth--;
    }
  }

  /** @throws KernelError for a name that `this.constants` does not have */
  constant(node: Node, name: string): void {
    const { constants } = this.text;
    if (!constants.has(name)) {
      const known = [...constants].filter((each) => !/_\d+$/.test(each));
      this.fail(
        node,
        `there is no this.constants.${name}; the attributes, and sizes and extents of the operands, would be accepted: ` +
          `${known.join(', ')}, and NAME_0, NAME_1, ... for the axes`,
      );
    }
    if (!this.read.has(name)) this.read.set(name, positionOf(node));
  }

  fail(node: Node, reason: string): never {
    const { operator, title, source } = this.text;
    throw new KernelError(operator, title, positionOf(node), reason, source);
  }

  private deeper(node: Node): void {
    if (++this.depth > DEEPEST) this.fail(node, `it is nested more than ${DEEPEST} deep`);
  }
}

/** Blocks and parts of expressions within each other, at most. */
const DEEPEST = 100;

export function positionOf({ loc }: Node): Position {
  return { line: loc?.start.line ?? 1, column: (loc?.start.column ?? 0) + 1 };
}
