/** What decides where a rank updates its parameters. */
export interface UpdateFacts {
  /** Whether the plan has counted an update on the device. */
  readonly planned: boolean;
  /** Whether the engine keeps values on its device between runs. */
  readonly keepsValues: boolean;
  /** Of the ring of each bucket, its members. */
  readonly ringSizes: readonly number[];
}

/** Where a rank updates its parameters; `why` is a line for people, undefined where there was nothing to choose. */
export interface UpdatePlace {
  readonly onDevice: boolean;
  readonly why: string | undefined;
}

/** An update runs on the device where values stay there, nobody shares the parameters, and the plan has room for it. Pure. */
export function updatePlace({ planned, keepsValues, ringSizes }: UpdateFacts): UpdatePlace {
  if (!keepsValues || ringSizes.length === 0) return { onDevice: false, why: undefined };
  const host = (because: string) => ({
    onDevice: false,
    why: `the optimizer runs on the host, ${because}: each step gradients come down and parameters go up`,
  });
  if (ringSizes.some((size) => size > 1))
    return host('where gradients are summed with those of other devices');
  if (!planned) return host('for the plan has no room for its state on the device');
  return {
    onDevice: true,
    why: 'parameters and optimizer state stay on the device, the optimizer runs there',
  };
}
