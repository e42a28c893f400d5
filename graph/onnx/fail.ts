import { ModelError } from '../errors.js';

/** Where a message points: the file, and the node or value in it. */
export interface Place {
  readonly source: string;
  readonly node?: string;
  readonly value?: string;
}

/** A ModelError that starts with the file and carries the ids. */
export function modelError(place: Place, message: string, cause?: unknown): ModelError {
  return new ModelError(`${place.source}: ${message}`, { ids: { ...place }, cause });
}
