import { pipeline } from 'node:stream';
import { CsvError, parse, type Info } from 'csv-parse';
import { DataError } from '../errors.js';
import type { CsvSpec } from '../schema.js';
import { openStream, type LocalFile, type StorageLimits } from '../storage/open.js';

/** One row of a csv file as text. */
export interface CsvRow {
  /** As an editor counts: from 1, the line on which the row ends. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** A line longer than this is not a row of a table. */
const LONGEST_ROW = 2 ** 22;

/**
 * The rows of a csv file (RFC 4180; quotes, a byte-order mark and any line ending are understood, cells are trimmed and
 * empty lines left out), read as a stream.
 * @throws DataError `data_format` with the line where quoting is broken, `data_empty` no rows, and as `openStream`
 */
export async function* csvRows(
  file: LocalFile,
  delimiter: CsvSpec['delimiter'],
  limits: StorageLimits,
): AsyncGenerator<CsvRow> {
  const parser = parse({
    bom: true,
    delimiter: delimiter ?? ',',
    // listed, because the parser's own discovery takes the first ending that it sees for all of the file
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true, // a wrong number of cells is reported in words of our own
    skip_empty_lines: true,
    trim: true,
    info: true,
    max_record_size: LONGEST_ROW,
  });
  pipeline(openStream(file, limits), parser, () => undefined);
  let rows = 0;
  try {
    for await (const item of parser) {
      const { record, info } = item as { record: string[]; info: Info };
      rows++;
      yield { line: info.lines, cells: record };
    }
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const line = typeof cause['lines'] === 'number' ? cause['lines'] : 0;
    throw new DataError(
      'data_format',
      `${file.name}: line ${line} is not csv: ${cause.message}; quote a cell as a whole and double the quotes inside`,
      { file: file.name, row: line },
      cause,
    );
  }
  if (rows === 0)
    throw new DataError('data_empty', `${file.name}: has no rows`, { file: file.name, found: 0 });
}
