/**
 * What the names in a body mean while it is written out: each run of a body has a frame of its own, within that of
 * what is around it. In the outermost one every value means itself.
 */
export class Frame {
  private readonly own = new Map<string, string>();

  private constructor(
    /** Stands before the names of what is written in this frame; '' in the outermost. */
    readonly path: string,
    private readonly around?: Frame,
  ) {}

  static outermost(): Frame {
    return new Frame('');
  }

  within(path: string): Frame {
    return new Frame(path, this);
  }

  get isOutermost(): boolean {
    return this.around === undefined;
  }

  set(name: string, value: string): void {
    this.own.set(name, value);
  }

  find(name: string): string {
    return this.own.get(name) ?? this.around?.find(name) ?? name;
  }
}
