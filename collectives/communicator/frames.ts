import type { FrameFields, FrameKind } from '../frame/header.js';
import { OPERATION_CODE, type Operation } from './operation.js';

/** The fields of a frame that belongs to no collective. */
export const BLANK = {
  operation: 0,
  wire: 0,
  collective: 0,
  bucket: 0,
  step: 0,
  piece: 0,
  elements: 0,
} as const;

/** The fields of a collective's frame. */
export function fieldsOf(operation: Operation, kind: FrameKind, step: number, piece: number): FrameFields {
  const { id, bucket, store } = operation;
  return {
    kind,
    operation: OPERATION_CODE[operation.kind],
    wire: store.wireCode,
    collective: id,
    bucket,
    step,
    piece,
    elements: store.length,
  };
}
