import { createSocket } from 'node:dgram';
import { UsageError } from '../errors.js';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `HOST:PORT`, `[::1]:PORT`, or where `defaultHost` is given `PORT` alone.
 * @throws UsageError naming the option
 */
export function parseAddress(option: string, text: string, defaultHost?: string): Address {
  const match = /^(?:(\[[0-9a-f:.]+\]|[^:[\]]+):)?(\d{1,5})$/i.exec(text);
  const host = match?.[1]?.replace(/^\[|\]$/g, '') ?? defaultHost;
  const port = Number(match?.[2]);
  if (!match || host === undefined || port > 65535) {
    const wanted = defaultHost === undefined ? 'HOST:PORT' : 'PORT or HOST:PORT';
    throw new UsageError(`${option} ${text}: write ${wanted}, the port from 0 (any free one) to 65535`);
  }
  return { host, port };
}

/**
 * The address of this host from which `peer` is reached: what other hosts of the cluster can connect to.
 * No packet is sent; connecting a datagram socket only asks the routing table.
 */
export async function localAddressTowards({ host, port }: Address): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', resolve);
      socket.connect(port, host);
    });
    return socket.address().address;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(
      `--coordinator ${host}:${port}: no way there (${why}); check the name, or give --listen`,
      { cause: error },
    );
  } finally {
    socket.close();
  }
}
