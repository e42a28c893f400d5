import type { Seconds } from '../../../base/index.js';
import type { DeviceRates } from '../../../scheduler/index.js';
import type { Engine } from '../port.js';
import {
  chainBytesOf,
  chainGraph,
  chainLengthOf,
  convolutionFlopsOf,
  convolutionGraph,
  productFlopsOf,
  productGraph,
  type ChainSize,
  type ConvolutionSize,
} from './graphs.js';
import { largestWithin, timeInTurn } from './stopwatch.js';

/** Beyond half a thousand, products of training graphs are rarely square, and a larger one is no faster. */
const PRODUCTS: readonly number[] = [64, 128, 256, 512];
/** Up to 2 MiB of values, like the layers of a small residual network. */
const CONVOLUTIONS: readonly ConvolutionSize[] = [
  { samples: 1, channels: 16, space: 8 },
  { samples: 1, channels: 32, space: 16 },
  { samples: 8, channels: 32, space: 16 },
];
/** Up to 1 MiB a value: a chain's working set is a few of those, as in a step. */
const CHAINS: readonly ChainSize[] = [16, 64, 256, 512].map((side) => ({ side, rounds: 10 }));
/** So small that only starting the operators counts. */
const TINY: ChainSize = { side: 4, rounds: 40 };

/**
 * Measures what the cost model asks of a device: the rates of float32 products and convolutions, the bandwidth of
 * what lies between them and the cost of starting an operator.
 * @param seconds roughly how long to measure; slow engines take longer, for they get through the smallest sizes
 */
export async function measureRates(engine: Engine, seconds: Seconds = 0.7): Promise<DeviceRates> {
  const run = seconds / 40;
  const product = await largestWithin(engine, PRODUCTS, productGraph, run);
  const convolution = await largestWithin(engine, CONVOLUTIONS, convolutionGraph, run);
  const chain = await largestWithin(engine, CHAINS, chainGraph, run);
  const tiny = await largestWithin(engine, [TINY], chainGraph, run);
  const watches = [product, convolution, chain, tiny];
  try {
    const [products, convolutions, moves, launches] = await timeInTurn(watches, seconds);
    return {
      flops: productFlopsOf(product.size) / products!,
      convolutionFlops: convolutionFlopsOf(convolution.size) / convolutions!,
      memoryBandwidthBytesPerSecond: chainBytesOf(chain.size) / moves!,
      launchSeconds: launches! / chainLengthOf(TINY),
    };
  } finally {
    for (const watch of watches) await watch.dispose();
  }
}

/** What a device seems to be able to do that rests after each computation; `speed` as in `ThreadOptions`. */
export function throttled(rates: DeviceRates, speed: number): DeviceRates {
  return {
    flops: rates.flops * speed,
    convolutionFlops: rates.convolutionFlops * speed,
    memoryBandwidthBytesPerSecond: rates.memoryBandwidthBytesPerSecond * speed,
    launchSeconds: rates.launchSeconds / speed,
  };
}
