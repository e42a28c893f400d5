import { Option, type Command } from 'commander';
import { formatBytes, formatSeconds, parseBytes } from '../../base/index.js';
import { UsageError } from '../errors.js';
import type { Session } from '../session.js';
import { examples, withJson } from './options.js';

interface Options {
  readonly ranks: string;
  readonly bytes: string;
  readonly wire: 'float32' | 'float16' | 'bfloat16';
}

/** `dtrain bench ...`: measurements, each printed only when its result was checked. */
export function registerBench(program: Command, session: Session): Command {
  const bench = program.command('bench').description('measure this host');
  const command = bench
    .command('allreduce')
    .description('ring all-reduce between processes on this host')
    .option('--ranks <n>', 'how many processes', '2')
    .option('--bytes <size>', 'bytes of float32 that each rank contributes', '100MB')
    .addOption(
      new Option('--wire <type>', 'element type between processes')
        .choices(['float32', 'float16', 'bfloat16'])
        .default('float32'),
    );
  withJson(command)
    .addHelpText(
      'after',
      examples(
        'dtrain bench allreduce --ranks 2 --bytes 100MB',
        'dtrain bench allreduce --ranks 4 --bytes 1MiB --wire bfloat16 --json',
      ),
    )
    .action(async (options: Options) => {
      const ranks = Number(options.ranks);
      const bytes = parseBytes(options.bytes);
      if (!Number.isInteger(ranks) || ranks < 1 || ranks > 64) {
        throw new UsageError(`--ranks ${options.ranks}: write a whole number from 1 to 64`);
      }
      if (bytes < 4 || bytes % 4 !== 0) {
        throw new UsageError(
          `--bytes ${options.bytes}: float32 takes 4 bytes an element; write a multiple of 4`,
        );
      }
      const { benchmarkAllReduce } = await import('../../collectives/index.js');
      const result = await benchmarkAllReduce({ ranks, bytes, wire: options.wire });
      session.terminal.answer(result, () =>
        [
          `all-reduce of ${formatBytes(bytes)} between ${ranks} processes, ${options.wire} on the wire`,
          `median ${formatSeconds(result.medianSeconds)}, bus bandwidth ${formatBytes(result.busBandwidth)}/s`,
          'checked: every rank holds the sum',
        ].join('\n'),
      );
    });
  return bench;
}
