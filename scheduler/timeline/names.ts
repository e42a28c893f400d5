/** What ranks are called. */
export interface TraceNames {
  /** Of the job, or what else the trace is of. */
  readonly title: string;
  /** By rank; `host` defaults to what precedes the device's slash. */
  readonly ranks: readonly { readonly device: string; readonly host?: string }[];
}

/** What a rank is called; `rank 3` where nobody named it. */
export function rankName({ ranks }: TraceNames, rank: number): string {
  return ranks[rank]?.device ?? `rank ${rank}`;
}

export function hostName({ ranks }: TraceNames, rank: number): string {
  const { host, device = '' } = ranks[rank] ?? {};
  return host ?? (device.includes('/') ? device.slice(0, device.indexOf('/')) : '');
}
