import { attribute } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

/** Equations of one to three operands: explicit, implicit, with an ellipsis, a diagonal, a label summed in one operand. */
const EQUATIONS = [
  'ij->ji',
  'ij->',
  'ij->j',
  'ii->i',
  'ii',
  'iij->ji',
  'ijij->ij',
  'ij,jk->ik',
  'ij,jk',
  'ij , jk -> ki',
  'ij,kj->ik',
  'i,j->ij',
  'i,i->',
  'i,i->i',
  'bij,bjk->bik',
  'bhid,bhjd->bhij',
  'bhij,bhjd->bihd',
  'bsd,dhk->bshk',
  'bij,bjk->',
  'ij,k->i',
  '...ij,...jk->...ik',
  '...ij,jk->...ik',
  '...i,...i',
  'i...->...i',
  '...,...->...',
  'ij,jk,kl->il',
  'ij,ik,il->jkl',
  'bi,oij,bj->bo',
] as const;

export const EINSUM_TRIALS: Readonly<Record<string, (draw: Draw) => Trial>> = {
  Einsum: (draw) => {
    const equation = draw.one(EQUATIONS);
    const hidden = draw.shape(0, 2);
    const lengths = new Map<string, number>();
    const lengthOf = (label: string) => {
      const length = lengths.get(label) ?? draw.between(1, 4);
      lengths.set(label, length);
      return length;
    };
    const terms = equation.replaceAll(' ', '').split('->')[0]!.split(',');
    const inputs = terms.map((term, i) => {
      const [before = '', after] = term.split('...');
      // what the ellipsis stands for may be broadcast; onnxruntime wants as many axes of it in every operand
      const some = hidden.map((dim) => (i > 0 && draw.below(3) === 0 ? 1 : dim));
      const middle = after === undefined ? [] : some;
      return draw.floats([...Array.from(before, lengthOf), ...middle, ...Array.from(after ?? '', lengthOf)]);
    });
    return { inputs, attributes: { equation: attribute.string(equation) } };
  },
};
