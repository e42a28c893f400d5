import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { CHANNEL_OPTIONS, controlService } from '../../protocol/index.js';
import type { ArtifactStore } from '../artifacts/index.js';
import { AddressError } from '../errors.js';
import type { Members } from '../membership/index.js';
import { serveGetArtifact, servePutArtifact } from './artifacts.js';
import { serveJoin } from './join.js';

const CLOSE_MS = 1000;

export interface Listen {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export interface GrpcServer {
  /** HOST:PORT, the port that was taken. */
  readonly address: string;
  /** Ends every call, running ones after a second. */
  close(): Promise<void>;
}

/** Serves the control plane. @throws AddressError */
export async function startGrpcServer(
  { host, port }: Listen,
  services: { readonly members: Members; readonly artifacts: ArtifactStore },
): Promise<GrpcServer> {
  const server = new Server({ ...CHANNEL_OPTIONS, 'grpc.so_reuseport': 0 });
  const implementation: UntypedServiceImplementation = {
    join: serveJoin(services.members),
    getArtifact: serveGetArtifact(services.artifacts),
    putArtifact: servePutArtifact(services.artifacts),
  };
  server.addService(controlService, implementation);
  const wanted = hostPort(host, port);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(wanted, ServerCredentials.createInsecure(), (error, taken) => {
      if (error) reject(new AddressError('workers’ address', wanted, error));
      else resolve(taken);
    });
  }).catch((error: unknown) => {
    server.forceShutdown();
    throw error;
  });
  return {
    address: hostPort(host, bound),
    close: () =>
      new Promise((resolve) => {
        // a peer whose network is gone never confirms the end: its socket is left to the process's own
        const force = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, CLOSE_MS);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      }),
  };
}

export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
