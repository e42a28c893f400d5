import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { FromWorker, ToWorker } from '../../protocol/index.js';
import type { Channel, Members } from '../membership/index.js';

/** A stream that never says hello is ended after this long. */
const HELLO_MS = 5000;

type Stream = ServerDuplexStream<FromWorker, ToWorker>;

/** The server's end of `Join`: the first message is the hello, every later one goes to the session it opened. */
export function serveJoin(members: Members): (stream: Stream) => void {
  return (stream) => {
    let session: ReturnType<Members['join']>;
    let greeted = false;
    const channel: Channel = {
      send: (message) => {
        if (!stream.writableEnded && !stream.destroyed) stream.write(message);
      },
      end: () => {
        if (!stream.writableEnded) stream.end();
      },
    };
    const patience = setTimeout(() => channel.end(), HELLO_MS);
    const left = (reason: string) => {
      clearTimeout(patience);
      session?.left(reason);
      session = undefined;
      channel.end();
    };
    stream.on('data', ({ message }: FromWorker) => {
      if (session) session.receive(message);
      else if (!greeted && message.case === 'hello') {
        greeted = true;
        clearTimeout(patience);
        session = members.join(message.value, channel);
      }
    });
    stream.on('end', () => left('its worker left, or its host or network went down'));
    stream.on('cancelled', () => left('its worker ended, or the connection to it broke'));
    stream.on('error', (error: Error) => left(`the connection to its worker failed: ${error.message}`));
    stream.on('close', () => left('the connection to its worker was closed'));
  };
}
