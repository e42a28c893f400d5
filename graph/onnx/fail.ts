import { ModelError } from '../errors.js';
import { printable } from './printable.js';

/** A message may quote a file's names, and those may be anything. */
const LONGEST = 4000;

/** Where a message points: the file, and the node or value in it. */
export interface Place {
  readonly source: string;
  readonly node?: string;
  readonly value?: string;
}

/** A ModelError that starts with the file and carries the ids. */
export function modelError(place: Place, message: string, cause?: unknown): ModelError {
  return new ModelError(`${place.source}: ${printable(message, LONGEST)}`, { ids: { ...place }, cause });
}
