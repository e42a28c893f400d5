import { pino, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

/**
 * A structured logger on stderr (stdout belongs to a command's answer).
 * Level from `level`, else `DTRAIN_LOG`, else `info`.
 */
export function createLogger(name: string, level = process.env['DTRAIN_LOG'] ?? 'info'): Logger {
  return pino({ name, level, base: { name, pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
}
