import type { UpCluster } from './cluster.js';
import type { Dtrain } from './process.js';

/** Starts an endless job, and waits until it trains. */
export async function train(cluster: UpCluster, folder: string): Promise<Dtrain> {
  const following = cluster.start(['submit', 'job.yaml', '--follow', '--json'], folder);
  const training = await following.said(/training \d+\/1000000/);
  if (!training) throw new Error(following.stderr);
  return following;
}
