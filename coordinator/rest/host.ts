import { RequestError } from '../errors.js';

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * A server on loopback is meant for this host's own programs, and any web page can have a name that points here (DNS
 * rebinding): the Host header must name loopback.
 * @throws RequestError `bad_host`
 */
export function checkHost(header: string | undefined): void {
  const name = (header ?? '').replace(/:\d+$/, '').toLowerCase();
  if (LOOPBACK_NAMES.has(name) || isLoopback(name)) return;
  throw new RequestError(
    'bad_host',
    `Host: "${header ?? ''}" is not this server, which listens on loopback only; ` +
      'ask for http://127.0.0.1, or start the coordinator with --http HOST:PORT',
  );
}
