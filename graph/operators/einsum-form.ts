import { ShapeError } from '../errors.js';
import { stringAttribute, type Node } from '../ir/graph.js';

/**
 * An Einsum with every axis labelled: a letter, or `.0`, `.1`, ... for the axes of an ellipsis, which are aligned at
 * the last one.
 */
export interface Einsum {
  /** A label for each axis of each operand. */
  readonly operands: readonly (readonly string[])[];
  readonly output: readonly string[];
  /** The length of each label's axes; in an operand it may be 1 instead, which is broadcast. */
  readonly lengths: ReadonlyMap<string, number>;
}

const TERM = /^([A-Za-z]*)(\.\.\.)?([A-Za-z]*)$/;

interface Term {
  readonly before: readonly string[];
  readonly ellipsis: boolean;
  readonly after: readonly string[];
}

function termOf(node: Node, text: string): Term {
  const match = TERM.exec(text);
  if (!match) {
    throw new ShapeError(
      node,
      `its equation has the term "${text}"; letters and at most one "..." would be accepted`,
    );
  }
  return { before: Array.from(match[1]!), ellipsis: match[2] !== undefined, after: Array.from(match[3]!) };
}

/**
 * Reads the attribute `equation` for operands of these shapes. Without "->" the output has the ellipsis and then,
 * in alphabetical order, every letter that occurs once.
 * @throws ShapeError where the equation is no equation or does not fit the operands
 */
export function einsumOf(node: Node, shapes: readonly (readonly number[])[]): Einsum {
  const equation = stringAttribute(node, 'equation', '').replaceAll(' ', '');
  const [left = '', right, ...rest] = equation.split('->');
  const terms = left.split(',').map((text) => termOf(node, text));
  if (rest.length > 0 || terms.length !== shapes.length) {
    throw new ShapeError(
      node,
      `its equation "${equation}" has ${terms.length} terms; one for each of ${shapes.length} inputs would be accepted`,
    );
  }
  const hidden = terms.map((term, i) => hiddenAxes(node, term, shapes[i]!));
  const most = Math.max(0, ...hidden);
  /** The labels of the last `count` axes that an ellipsis stands for. */
  const ellipsis = (count: number) => Array.from({ length: count }, (_, i) => `.${most - count + i}`);
  const operands = terms.map((term, i) => [...term.before, ...ellipsis(hidden[i]!), ...term.after]);
  const lengths = lengthsOf(node, operands, shapes);
  const asked = right === undefined ? undefined : termOf(node, right);
  const output = asked
    ? [...asked.before, ...ellipsis(asked.ellipsis ? most : 0), ...asked.after]
    : [...ellipsis(most), ...onceOnly(terms)];
  const stray = output.find((label, i) => !lengths.has(label) || output.indexOf(label) !== i);
  if (stray === undefined) return { operands, output, lengths };
  throw new ShapeError(
    node,
    `the output of its equation "${equation}" has "${stray}" twice or without an input that has it`,
  );
}

/** How many axes an ellipsis stands for in an operand. */
function hiddenAxes(node: Node, { before, ellipsis, after }: Term, shape: readonly number[]): number {
  const rest = shape.length - before.length - after.length;
  if (ellipsis ? rest >= 0 : rest === 0) return rest;
  throw new ShapeError(
    node,
    `the term "${before.join('')}${ellipsis ? '...' : ''}${after.join('')}" does not fit an input of shape [${shape.join(', ')}]`,
  );
}

function lengthsOf(
  node: Node,
  operands: readonly (readonly string[])[],
  shapes: readonly (readonly number[])[],
): Map<string, number> {
  const lengths = new Map<string, number>();
  operands.forEach((labels, i) => {
    labels.forEach((label, axis) => {
      const length = shapes[i]![axis]!;
      const known = lengths.get(label) ?? 1;
      // along a diagonal nothing is broadcast
      const first = shapes[i]![labels.indexOf(label)]!;
      if (length !== first || (length !== known && length !== 1 && known !== 1)) {
        throw new ShapeError(
          node,
          `its label "${label}" stands for lengths of ${length === first ? known : first} and ${length}`,
        );
      }
      lengths.set(label, known === 1 ? length : known);
    });
  });
  return lengths;
}

function onceOnly(terms: readonly Term[]): string[] {
  const all = terms.flatMap(({ before, after }) => [...before, ...after]);
  return all.filter((label) => all.indexOf(label) === all.lastIndexOf(label)).sort();
}
