/** A sleeper that somebody wakes; a call that comes while it is awake is not lost. */
export class Waker {
  private called = false;
  private rise: (() => void) | undefined;

  readonly wake = (): void => {
    this.called = true;
    this.rise?.();
  };

  /** Sleeps until woken, at most `ms`. @returns whether it was woken */
  async sleep(ms: number): Promise<boolean> {
    if (!this.called) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.rise = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.rise = undefined;
    const { called } = this;
    this.called = false;
    return called;
  }
}
