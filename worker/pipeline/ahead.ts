/** So many messages of a transfer are asked for before they are needed: one travels while the one before is used. */
const MOST_AHEAD = 2;

/** Asks for the messages of one transfer in the order in which a step needs them, a few before they are needed. */
export class Ahead<T> {
  private readonly asked = new Map<T, Promise<void>>();
  private next = 0;
  private taken = 0;

  /** @param order what will be taken, in that order; may be shorter than it turns out */
  constructor(
    private readonly order: readonly T[],
    private readonly ask: (one: T) => Promise<void>,
  ) {
    this.advance();
  }

  /** Resolves when all of it is there. */
  take(one: T): Promise<void> {
    const asked = this.asked.get(one) ?? this.ask(one);
    this.asked.delete(one);
    this.taken++;
    this.advance();
    return asked;
  }

  private advance(): void {
    while (this.next < Math.min(this.order.length, this.taken + MOST_AHEAD)) {
      const one = this.order[this.next++]!;
      const asked = this.ask(one);
      asked.catch(() => undefined); // whoever takes it is told
      this.asked.set(one, asked);
    }
  }
}
