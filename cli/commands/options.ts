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

/** Collects a repeated option into a list. */
export function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

/** The examples under a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
