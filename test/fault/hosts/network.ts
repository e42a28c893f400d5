import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Hosts of a network inside this machine, each with an address, a folder for temporary files and a /dev/shm of its own. */
export class TestNetwork {
  private readonly names = new Map<string, string>();
  /** Temporary files of whoever runs on a host: every host sees another folder here. */
  readonly scratch = mkdtempSync(join(tmpdir(), 'dtrain-host-'));
  private readonly net = `10.${200 + (process.pid % 50)}.${(process.pid >> 6) % 250}`;

  /** Why this machine cannot have one; undefined where it can. */
  static unavailable(): string | undefined {
    if (process.platform !== 'linux') return 'network namespaces are a thing of Linux';
    if (process.getuid?.() !== 0) return 'network namespaces need root';
    if (!existsSync('/usr/sbin/ip') && !existsSync('/sbin/ip')) return 'ip (iproute2) is not installed';
    const probe = `dtp${process.pid}`;
    try {
      ip('netns', 'add', probe);
      ip('netns', 'del', probe);
    } catch {
      return 'network namespaces are not permitted here';
    }
    return undefined;
  }

  /** The first host has the bridge that joins all of them. */
  constructor(hosts: readonly string[]) {
    removeOrphans();
    const [centre] = hosts;
    hosts.forEach((host, index) => {
      const name = `dt${process.pid}-${index}`;
      ip('netns', 'add', name);
      this.names.set(host, name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
      const bridge = this.names.get(centre!)!;
      if (index === 0) {
        ip('-n', name, 'link', 'add', 'br0', 'type', 'bridge');
        ip('-n', name, 'addr', 'add', `${this.address(host)}/24`, 'dev', 'br0');
        ip('-n', name, 'link', 'set', 'br0', 'up');
        return;
      }
      const port = `port${index}`;
      ip('-n', name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', port, 'netns', bridge);
      ip('-n', name, 'addr', 'add', `${this.address(host)}/24`, 'dev', 'eth0');
      ip('-n', bridge, 'link', 'set', port, 'master', 'br0', 'up');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
    });
  }

  address(host: string): string {
    return `${this.net}.${[...this.names.keys()].indexOf(host) + 1}`;
  }

  /** The words that run a program on a host; the program takes the place of the last of them. */
  on(host: string): readonly string[] {
    // what hosts share on a real network is the network: unix sockets and lanes must not cross
    const script = 'mount -t tmpfs none "$0" && mount -t tmpfs none /dev/shm && TMPDIR="$0" exec "$@"';
    return ['ip', 'netns', 'exec', this.names.get(host)!, 'sh', '-c', script, this.scratch];
  }

  /** Pulls a host's cable out, or puts it in again. */
  cable(host: string, state: 'up' | 'down'): void {
    const index = [...this.names.keys()].indexOf(host);
    const [centre] = this.names.values();
    ip('-n', centre!, 'link', 'set', `port${index}`, state);
  }

  remove(): void {
    for (const name of this.names.values()) ip('netns', 'del', name);
    this.names.clear();
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** Networks of tests that were killed. */
function removeOrphans(): void {
  const list = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  for (const [name, pid] of list.matchAll(/^dt(\d+)-\d+/gm))
    if (!existsSync(`/proc/${pid!}`)) ip('netns', 'del', name);
}

function ip(...words: readonly string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
}
