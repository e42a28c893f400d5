/** Names that are made longer than this are cut: names in names in names must not take memory. */
const LONGEST = 256;

/** Names in use, and fresh ones beside them. */
export class NameSpace {
  private readonly taken: Set<string>;
  private readonly counters = new Map<string, number>();

  constructor(names: Iterable<string>) {
    this.taken = new Set(names);
  }

  take(name: string): void {
    this.taken.add(name);
  }

  /** `hint` itself where it is free, else with the first free number. */
  fresh(hint: string): string {
    let name = hint;
    while (this.taken.has(name)) {
      const next = (this.counters.get(hint) ?? 0) + 1;
      this.counters.set(hint, next);
      name = `${hint}_${next}`;
    }
    this.taken.add(name);
    return name;
  }

  /** A fresh name that says where it is: `around/name`, of at most some hundred characters. */
  within(around: string, name: string): string {
    const whole = around === '' ? name : `${around}/${name}`;
    return this.fresh(whole.length <= LONGEST ? whole : whole.slice(-LONGEST));
  }
}
