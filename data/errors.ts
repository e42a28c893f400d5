import { UserError } from '../base/index.js';

/** Stable codes of what can be wrong with data; each message names the file and what would be accepted. */
export type DataErrorCode =
  /** The file is not there or cannot be read. */
  | 'data_unreadable'
  /** The file, or the range of rows taken from it, holds nothing. */
  | 'data_empty'
  /** The file ends before what its header announces, or a compressed stream is broken. */
  | 'data_truncated'
  /** The bytes are not of the format that the job file names. */
  | 'data_format'
  /** Larger than the limit for what is held in memory. */
  | 'data_too_large'
  /** The dataset's entry in the job file contradicts itself or its file. */
  | 'data_spec'
  /** `rows` reaches outside the file. */
  | 'data_rows'
  /** Two files of one dataset have different numbers of rows. */
  | 'data_counts'
  /** A sample does not fit the model's input. */
  | 'data_shape'
  /** The element type does not fit the model's input or the loss. */
  | 'data_type'
  /** A column, array or input that is named does not exist. */
  | 'data_name'
  /** A value that cannot be used: missing, not a number, NaN, infinite, out of range. */
  | 'data_value'
  /** A class id outside the model's classes. */
  | 'data_label'
  /** A character or category that the training data does not have. */
  | 'data_vocabulary';

/** What is concerned, as far as known: machine-readable twin of the message. */
export interface DataPlace {
  readonly file?: string;
  /** As people count in that format; see the message. */
  readonly row?: number;
  readonly column?: string | number;
  readonly found?: string | number;
  readonly accepted?: string | number;
}

/** The user's data, or its entry in the job file, is wrong. */
export class DataError extends UserError {
  constructor(
    override readonly code: DataErrorCode,
    message: string,
    place: DataPlace = {},
    cause?: unknown,
  ) {
    super(code, message, cause === undefined ? { ids: { ...place } } : { ids: { ...place }, cause });
  }
}
