import { Option, type Command } from 'commander';

/** Options that several commands share, spelled once. */
export function withCoordinator(command: Command): Command {
  return command.option(
    '--coordinator <url>',
    'address of the coordinator (default: DTRAIN_COORDINATOR, else http://127.0.0.1:7700)',
  );
}

export function withJson(command: Command): Command {
  return command.addOption(new Option('--json', 'print one JSON document on stdout, nothing else there'));
}

/** An option that may be given several times: a list, empty where it is not. */
export function repeatable(flags: string, description: string): Option {
  const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value];
  return new Option(flags, description).argParser(collect).default([], 'none');
}

/** What `--set` does wherever a job file is read. */
export const OVERRIDES = 'put a value over that of the job file; repeat for several';

/** The examples under a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
