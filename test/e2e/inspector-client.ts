import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import type { Socket } from 'node:net';

type Message = Readonly<Record<string, unknown>>;

/** A debugger: the inspector protocol over a WebSocket, as much of RFC 6455 as one peer on loopback needs. */
export class InspectorClient {
  private buffered = Buffer.alloc(0);
  private counter = 0;
  private readonly answers = new Map<number, (message: Message) => void>();
  private readonly events: Message[] = [];
  private readonly waiting = new Set<() => void>();

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => this.heard(chunk));
  }

  static connect(url: string): Promise<InspectorClient> {
    const { hostname, port, pathname } = new URL(url);
    const key = randomBytes(16).toString('base64');
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': key,
    };
    return new Promise((resolve, reject) => {
      const asked = request({ hostname, port, path: pathname, headers });
      asked.on('upgrade', (_response, socket) => resolve(new InspectorClient(socket)));
      asked.on('error', reject);
      asked.end();
    });
  }

  /** The result of a command. */
  async ask(method: string, params: Message = {}): Promise<Message> {
    const id = ++this.counter;
    const answer = new Promise<Message>((resolve) => this.answers.set(id, resolve));
    this.send(JSON.stringify({ id, method, params }));
    return (await answer)['result'] as Message;
  }

  /** The parameters of the next event of that name that nobody has taken. */
  async event(method: string): Promise<Message> {
    for (;;) {
      const at = this.events.findIndex((event) => event['method'] === method);
      if (at >= 0) return this.events.splice(at, 1)[0]!['params'] as Message;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  close(): void {
    this.socket.destroy();
  }

  /** One masked text frame. */
  private send(text: string): void {
    const payload = Buffer.from(text);
    const mask = randomBytes(4);
    const length =
      payload.length < 126
        ? Buffer.of(0x80 | payload.length)
        : Buffer.of(0x80 | 126, payload.length >> 8, payload.length & 255);
    const masked = payload.map((byte, i) => byte ^ mask[i % 4]!);
    this.socket.write(Buffer.concat([Buffer.of(0x81), length, mask, masked]));
  }

  private heard(chunk: Buffer): void {
    this.buffered = Buffer.concat([this.buffered, chunk]);
    for (;;) {
      const all = this.buffered;
      if (all.length < 2) return;
      const short = all[1]! & 127;
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (all.length < start) return;
      const length =
        short === 126 ? all.readUInt16BE(2) : short === 127 ? Number(all.readBigUInt64BE(2)) : short;
      if (all.length < start + length) return;
      this.buffered = all.subarray(start + length);
      if ((all[0]! & 15) === 1) this.received(all.toString('utf8', start, start + length));
    }
  }

  private received(text: string): void {
    const message = JSON.parse(text) as Message;
    const id = message['id'];
    if (typeof id === 'number') this.answers.get(id)?.(message);
    else this.events.push(message);
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}
